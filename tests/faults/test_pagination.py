"""Lists that lie about their pages: refused by name, or harmless; what is committed stays as it was."""

from collections import Counter

import pytest

from convergence.pipelines.models import RunStatus
from convergence.simulator import FaultRule

from .lab import TABLES, days

WINDOW = days(6)
USAGE = "/organization/usage/completions"
COSTS = "/organization/costs"
MOST_CALLS = 12  # a list of one bucket whose every page names a new cursor


@pytest.mark.parametrize("kind", ["repeated_cursor", "endless_cursor", "missing_cursor"])
async def test_a_list_that_does_not_end_is_refused_and_touches_nothing(lab, kind):
    lab.stage(days=6)
    async with lab.open() as bench:
        await bench.run(WINDOW)
        before = await bench.content()
        lab.simulator.simulator.revise("restate", WINDOW.days(), share=0.5)
        lab.simulator.simulator.faults.add(*(FaultRule(kind=kind, path=path) for path in (USAGE, COSTS)))
        lab.simulator.simulator.journal.clear()
        failed = await bench.run(WINDOW)
        struck = [entry for entry in lab.simulator.simulator.journal.entries() if entry.fault == kind]
        calls = Counter(entry.path.rpartition("/")[2] for entry in struck)
        after = await bench.content()
        lab.simulator.simulator.faults.clear()
        await bench.run(WINDOW)
        await bench.check_truth(WINDOW)
    assert failed.status is RunStatus.FAILED
    assert {step.error_code for step in failed.steps[:2]} <= {"pagination_loop", "pagination_lost"}
    assert calls.keys() == {"completions", "costs"}
    assert max(calls.values()) <= MOST_CALLS
    assert [after[table] for table in TABLES] == [before[table] for table in TABLES]


async def test_rows_in_another_order_are_the_same_rows(lab):
    lab.stage(days=6)
    async with lab.open() as bench:
        await bench.run(WINDOW)
        before = await bench.content()
        lab.simulator.simulator.faults.add(FaultRule(kind="reorder", path="/organization/usage/*"))
        lab.simulator.simulator.faults.add(FaultRule(kind="reorder", path=COSTS))
        again = await bench.run(WINDOW)
        after = await bench.content()
        await bench.check_truth(WINDOW)
    assert again.status is RunStatus.COMPLETED
    assert [after[table] for table in TABLES] == [before[table] for table in TABLES]


@pytest.mark.parametrize("path", [USAGE, COSTS], ids=["usage", "costs"])
async def test_rows_that_come_twice_count_once(lab, path):
    lab.stage(days=6)
    async with lab.open() as bench:
        lab.simulator.simulator.faults.add(FaultRule(kind="duplicate", path=path, share=0.1))
        run = await bench.run(WINDOW)
        struck = sum(entry.fault == "duplicate" for entry in lab.simulator.simulator.journal.entries())
        lab.simulator.simulator.faults.clear()
        await bench.check_truth(WINDOW)
    assert run.status is RunStatus.COMPLETED
    assert struck > 0
