"""Days loaded again and again: whatever Cursor changes, the tables say what it says now."""

from __future__ import annotations

from typing import Any

from step_bench import TODAY, Bench, last_days

from convergence.costs.report import read_costs
from convergence.simulator import CursorWorld

from .conftest import EXACTLY, MONEY

WINDOW = last_days(3)


async def test_days_loaded_one_by_one_are_those_loaded_at_once(bench: Bench) -> None:
    """No event is lost or counted twice at a midnight."""
    for step in MONEY:
        await bench.run(step, WINDOW, config=EXACTLY)
    for day in WINDOW.chunks(1):
        for step in MONEY:
            result = await bench.run(step, day, config=EXACTLY)
            assert result.metadata["days_unchanged"] == 1


async def test_thirty_days_with_restatements_are_the_truth_to_the_cent(bench: Bench) -> None:
    """In raw, daily, FOCUS and the costs endpoint's report; twice in a row; after removed rows."""
    key, window = "crsr_thirty0123456789abcdef", last_days(30)
    bench.world = CursorWorld(seed=12, end_day=TODAY, days=30, rows_per_day=40, late_hours=30)
    bench.simulator.add_account(key, bench.world, provider="cursor")
    changes: tuple[Any, ...] = (None, None, ("restate", 0.4), ("remove", 0.3))
    for change in changes:
        if change is not None:
            bench.world.revise(change[0], [window.last, *list(window.days())[4:6]], share=change[1])
        results = [await bench.run(step, window, key=key) for step in (*MONEY, "focus.build")]
        truth = bench.simulator.truth(key)
        report = await read_costs(bench.warehouse, bench.org, window, granularity="day", providers=["cursor"])
        assert (
            await bench.daily("cursor_usage_events_raw", "IF(is_chargeable, charged_amount, 0)")
            == (truth["cost"]["by_day"])
        )
        assert await bench.daily("cursor_cost_daily", "billed_cost") == truth["cost"]["by_day"]
        assert await bench.daily("cursor_cost_daily", "list_cost") == truth["list_cost"]["by_day"]
        focus = await bench.rows(
            "SELECT x_UsageDate AS day, SUM(BilledCost) AS billed FROM focus_cost_daily GROUP BY x_UsageDate"
        )
        assert {row["day"].isoformat(): row["billed"] for row in focus if row["billed"]} == truth["cost"]["by_day"]
        billed = {row["day"].isoformat(): row["billed_cost"] for row in report.rows if row["billed_cost"]}
        assert billed == truth["cost"]["by_day"]
        assert report.total["billed_cost"] == truth["cost"]["total"]
        assert {entry.status for entry in bench.simulator.journal.entries()} == {200}
        assert results[0].metadata["days_held_back"] == []
