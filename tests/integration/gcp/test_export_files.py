"""Thirty simulated days of a billing export from files: the truth, to the last of nine places."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from gcp_bench import GcpBench, open_gcp_bench

from convergence.costs.report import read_costs
from convergence.errors import DataQualityError
from convergence.kit.window import Window
from convergence.simulator.gcp import GcpBillingWorld, write_ndjson, write_parquet

END = date(2026, 11, 20)
BEFORE = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER = datetime(2026, 12, 10, tzinfo=UTC)  # late rows, corrections and the tax of November have come
WINDOW = Window(date(2026, 10, 1), date(2026, 12, 10))
WORLD = GcpBillingWorld(11, end_day=END, rows_per_day=25, detailed=True)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[GcpBench]:
    async with open_gcp_bench(tmp_path, now=LATER) as made:
        yield made


async def measure(bench: GcpBench) -> dict[str, Any]:
    """What the truth tells, from raw, daily and report."""
    report = await read_costs(bench.warehouse, bench.org, WINDOW, granularity="total", group_by=("project",))
    return {
        "raw": await bench.value("SELECT SUM(net_cost) AS a FROM gcp_billing_daily_raw"),
        "raw, unnested in its row": await bench.value(
            "SELECT SUM(cost + COALESCE((SELECT SUM(c.amount) FROM UNNEST(credits) AS c), 0)) AS a"
            " FROM gcp_billing_daily_raw"
        ),
        "rows": await bench.value("SELECT COUNT(*) AS a FROM gcp_billing_daily_raw"),
        "gross": await bench.value("SELECT SUM(gross_cost) AS a FROM gcp_cost_daily"),
        "by_day": await bench.sums("gcp_cost_daily", "usage_date", "billed_cost"),
        "by_invoice_month": await bench.sums("gcp_cost_daily", "invoice_month", "billed_cost"),
        "by_cost_type": await bench.sums("gcp_cost_daily", "cost_type", "billed_cost"),
        "by_service": await bench.sums("gcp_cost_daily", "service", "billed_cost"),
        "report": {row["project"] or "none": row["billed_cost"] for row in report.rows},
        "total": report.total["billed_cost"],
    }


def expect(truth: dict[str, Any]) -> dict[str, Any]:
    cost = truth["cost"]
    return {
        "raw": cost["total"],
        "raw, unnested in its row": cost["total"],
        "rows": truth["rows"],
        "gross": truth["gross_cost"],
        **{name: cost[name] for name in ("by_day", "by_invoice_month", "by_cost_type", "by_service")},
        "report": cost["by_project"],
        "total": cost["total"],
    }


async def test_thirty_days_equal_the_truth_twice_in_a_row_and_after_late_partitions(bench: GcpBench) -> None:
    first = write_parquet(WORLD.rows(BEFORE), bench.folder / "export.parquet")
    await bench.load(first)
    assert await measure(bench) == expect(WORLD.truth(BEFORE))

    again = await bench.load(first)
    assert again["gcp.billing_file"].metadata["days_replaced"] == 0
    assert await measure(bench) == expect(WORLD.truth(BEFORE))

    late = [row for row in WORLD.rows(LATER) if row["export_time"] >= "2026-11-18"]
    result = await bench.load_rows(late)
    assert await measure(bench) == expect(WORLD.truth(LATER))
    touched = {row["usage_start_time"][:10] for row in late}
    assert result["gcp.cost"].metadata["days_replaced"] <= len(touched) < 30


async def test_json_lines_and_parquet_are_the_same_rows(bench: GcpBench) -> None:
    rows = WORLD.partitions(BEFORE)[date(2026, 11, 3)]
    await bench.load(write_ndjson(rows, bench.folder / "a.ndjson"))

    again = await bench.load(write_parquet(rows, bench.folder / "b.parquet"))

    assert again["gcp.billing_file"].metadata["days_unchanged"] == 1
    assert again["gcp.billing_file"].metadata["days_replaced"] == 0


async def test_a_file_with_a_part_of_a_day_does_not_take_the_rest_away(bench: GcpBench) -> None:
    rows = WORLD.partitions(BEFORE)[date(2026, 11, 3)]
    await bench.load_rows(rows)
    total = await bench.value("SELECT SUM(billed_cost) AS a FROM gcp_cost_daily")

    with pytest.raises(DataQualityError) as refused:
        await bench.load_rows(rows[:-1])

    assert refused.value.code == "partial_file"
    assert await bench.value("SELECT SUM(billed_cost) AS a FROM gcp_cost_daily") == total


async def test_a_second_billing_account_comes_beside_the_first(bench: GcpBench) -> None:
    """Several billing accounts are several exports; each keeps its currency."""
    rupees = GcpBillingWorld(
        5, end_day=END, days=3, rows_per_day=8, currency="INR", rate=Decimal("83.25"), account="0A0A0A-0B0B0B-0C0C0C"
    )
    dollars = GcpBillingWorld(4, end_day=END, days=3, rows_per_day=8)
    await bench.load_rows(dollars.rows(BEFORE))
    await bench.load_rows(rupees.rows(BEFORE))

    report = await read_costs(bench.warehouse, bench.org, WINDOW, granularity="total")

    assert {row["currency"]: row["billed_cost"] for row in report.totals} == {
        "USD": dollars.truth(BEFORE)["cost"]["total"],
        "INR": rupees.truth(BEFORE)["cost"]["total"],
    }
