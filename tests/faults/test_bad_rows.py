"""Rows that break the declared schema: quarantined and counted up to the limit, above it the old day stays."""

import pytest

from convergence.pipelines.models import RunStatus
from convergence.simulator import FaultRule

from .lab import TABLES, days

WINDOW = days(3)
USAGE = "/organization/usage/completions"
COSTS = "/organization/costs"
KINDS = [
    (USAGE, "nan"),
    (USAGE, "negative"),
    (USAGE, "changed_type"),
    (USAGE, "huge_integer"),
    (USAGE, "long_text"),
    (USAGE, "nul_text"),
    (COSTS, "nan"),
    (COSTS, "changed_type"),
]
NAMES = [f"{kind}-{path.rpartition('/')[2]}" for path, kind in KINDS]


def table_of(path):
    return "openai_usage_daily_raw" if path == USAGE else "openai_reported_cost_daily_raw"


@pytest.mark.parametrize("path", [USAGE, COSTS], ids=["usage", "costs"])
async def test_a_bad_row_a_day_is_set_aside_and_comes_back_when_it_is_mended(lab, path):
    lab.stage(days=3, steady=True)
    async with lab.open() as bench:
        for kind in (kind for place, kind in KINDS if place == path):
            lab.simulator.simulator.faults.add(FaultRule(kind=kind, path=path))
            assert (await bench.run(WINDOW)).status is RunStatus.COMPLETED, kind
            rejects, kept = await _rejects(bench, path), await _count(bench, path)
            lab.simulator.simulator.faults.clear()
            assert (await bench.run(WINDOW)).status is RunStatus.COMPLETED, kind
            assert [row["usage_date"] for row in rejects] == list(WINDOW.days()), kind
            assert all(row["reason"] and row["error_path"] and row["raw"] for row in rejects), kind
            assert kept + len(rejects) == await _count(bench, path), kind
            assert await _rejects(bench, path) == [], kind
            await bench.check_truth(WINDOW)


async def _rejects(bench, path):
    return await bench.rows(f"SELECT * FROM {table_of(path)}_rejects ORDER BY usage_date")


async def _count(bench, path):
    return (await bench.rows(f"SELECT COUNT(*) AS n FROM {table_of(path)}"))[0]["n"]


@pytest.mark.parametrize(("path", "kind"), KINDS[3:4] + KINDS[-1:], ids=NAMES[3:4] + NAMES[-1:])
async def test_too_many_bad_rows_fail_the_run_and_leave_the_old_day(lab, path, kind):
    lab.stage(days=3, steady=True)
    async with lab.open() as bench:
        await bench.run(WINDOW)
        before = await bench.content()
        lab.simulator.simulator.revise("restate", WINDOW.days(), share=0.5)
        lab.simulator.simulator.faults.add(FaultRule(kind=kind, path=path, share=0.5))
        failed = await bench.run(WINDOW)
        after = await bench.content()
        lab.simulator.simulator.faults.clear()
        await bench.run(WINDOW)
        await bench.check_truth(WINDOW)
    assert (failed.status, failed.error_code) == (RunStatus.FAILED, "too_many_bad_rows")
    assert table_of(path) in failed.error_message
    assert all(day.isoformat() in failed.error_message for day in WINDOW.days())
    assert after[table_of(path)] == before[table_of(path)]
    assert after[f"{table_of(path)}_rejects"] == []
    assert after["openai_cost_daily"] == before["openai_cost_daily"]


async def test_one_bad_day_holds_back_no_other(lab):
    lab.stage(days=3, steady=True)
    async with lab.open() as bench:
        await bench.run(WINDOW)
        lab.simulator.simulator.revise("restate", WINDOW.days(), share=0.5)
        # The newest day is read first, in a request of its own.
        lab.simulator.simulator.faults.add(FaultRule(kind="changed_type", path=USAGE, share=0.5, count=1))
        failed = await bench.run(WINDOW)
        outcomes = await bench.rows(
            "SELECT day, outcome FROM _load_ledger WHERE run_id = @run_id AND stream = 'openai.usage' ORDER BY day",
            run_id=failed.run_id,
        )
        await bench.run(WINDOW)
        await bench.check_truth(WINDOW)
    assert (failed.status, failed.error_code) == (RunStatus.FAILED, "too_many_bad_rows")
    assert outcomes == [{"day": day, "outcome": "replaced"} for day in list(WINDOW.days())[:-1]]


async def test_a_new_field_changes_no_figure_and_is_told(lab):
    lab.stage(days=3, steady=True)
    async with lab.open() as bench:
        await bench.run(WINDOW)
        before = await bench.content()
        lab.simulator.simulator.faults.add(FaultRule(kind="new_field", share=1.0))
        run = await bench.run(WINDOW)
        after = await bench.content()
        await bench.check_truth(WINDOW)
    assert run.status is RunStatus.COMPLETED
    assert any("surprise" in warning for warning in run.metadata["warnings"])
    assert [after[table] for table in TABLES] == [before[table] for table in TABLES]
