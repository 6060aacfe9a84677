"""The provider changes its mind about days gone by: the warehouse follows, and only to what it says twice."""

import random

import pytest

from convergence.pipelines.models import RunStatus
from convergence.simulator import FaultRule

from .lab import SEED, TABLES, days

WINDOW = days(10)


async def test_restated_and_removed_rows_are_followed(lab):
    lab.stage(days=10)
    chance = random.Random(SEED)
    async with lab.open() as bench:
        await bench.run(WINDOW)
        for _ in range(3):
            for kind in ("restate", "remove"):
                changed = chance.sample(list(WINDOW.days()), 3)
                lab.simulator.simulator.revise(kind, changed, share=chance.uniform(0.05, 0.3))
            run = await bench.run(WINDOW)
            assert run.status is RunStatus.COMPLETED
            await bench.check_truth(WINDOW)


async def test_a_day_cleared_to_nothing_is_followed_once_it_is_said_twice(lab):
    lab.stage(days=10, steady=True)
    day = WINDOW.start
    async with lab.open() as bench:
        await bench.run(WINDOW)
        lab.simulator.simulator.journal.clear()
        lab.simulator.simulator.revise("clear", [day])
        cleared = await bench.run(WINDOW)
        asked = [entry for entry in lab.simulator.simulator.journal.entries() if entry.path.endswith("completions")]
        rows = await bench.rows("SELECT COUNT(*) AS n FROM openai_usage_daily_raw WHERE usage_date = @day", day=day)
        await bench.check_truth(WINDOW)
        lab.simulator.simulator.revise("restore", [day])
        restored = await bench.run(WINDOW)
        await bench.check_truth(WINDOW)
    assert (cleared.status, restored.status) == (RunStatus.COMPLETED, RunStatus.COMPLETED)
    assert rows == [{"n": 0}]
    assert len(asked) == 3  # the newest day, the days before it, and the cleared day again


@pytest.mark.parametrize("path", ["/organization/usage/*", "/organization/costs"], ids=["usage", "costs"])
async def test_a_source_that_says_something_else_each_time_is_not_believed(lab, path):
    lab.stage(days=4, steady=True)
    window = days(4)
    async with lab.open() as bench:
        await bench.run(window)
        before = await bench.content()
        lab.simulator.simulator.faults.add(FaultRule(kind="shrink", path=path, share=0.7))
        failed = await bench.run(window)
        after = await bench.content()
        lab.simulator.simulator.faults.clear()
        healed = await bench.run(window)
        await bench.check_truth(window)
    assert (failed.status, failed.error_code) == (RunStatus.FAILED, "unstable_source")
    assert all(day.isoformat() in failed.error_message for day in window.days())
    assert [after[table] for table in TABLES] == [before[table] for table in TABLES]
    assert healed.status is RunStatus.COMPLETED


async def test_a_shrunken_day_waits_before_it_is_asked_again(lab):
    """The pause is the setting's, and the old rows are there all the while."""
    lab.stage(days=2, steady=True)
    window = days(2)
    async with lab.open(SHRINK_RECHECK_SECONDS="2") as bench:
        await bench.run(window)
        before = await bench.content()
        lab.simulator.simulator.revise("clear", [window.start])
        run = await bench.accept(window)
        while "days_shrank" not in lab.log.getvalue():
            assert not (await bench.find(run)).status.is_final
            await bench.pause()
        during = await bench.content()
        finished = await bench.finish(run)
        await bench.check_truth(window)
    assert [row for row in before["openai_usage_daily_raw"] if row not in during["openai_usage_daily_raw"]] == []
    assert finished.status is RunStatus.COMPLETED
    assert finished.duration_ms >= 2000
