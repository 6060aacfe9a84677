"""Google Cloud's charges in FOCUS, the same from either warehouse; OpenAI's are in the test of parity."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from bigquery_emulator import BigQueryEmulator
from gcp_bench import GcpBench, billing_row, credit, open_gcp_bench

from convergence.costs.focus.build import build_focus
from convergence.kit.window import Window
from convergence.warehouse.bigquery import BigQueryWarehouse

DAYS = Window(date(2026, 11, 1), date(2026, 11, 19))
PACIFIC_NOVEMBER, PACIFIC_DECEMBER = datetime(2026, 11, 1, 7, tzinfo=UTC), datetime(2026, 12, 1, 8, tzinfo=UTC)
ROWS = (
    billing_row(credits=[credit(-1.0), credit(-2.5, "PROMOTION")], labels=[{"key": "team", "value": "core"}]),
    billing_row(cost=1.25, cost_at_list=None, cost_type="tax", usage=None, invoice={"month": "202611"}),
    billing_row(cost=-0.5, cost_at_list=None, cost_type="adjustment", invoice={"month": "202612"}),
)


@pytest.fixture(params=["duckdb", "bigquery"])
def warehouse(request: pytest.FixtureRequest) -> Any:
    if request.param == "duckdb":
        return None
    emulator: BigQueryEmulator = request.getfixturevalue("bigquery_emulator")
    return BigQueryWarehouse(emulator.project(), endpoint=emulator.endpoint)


async def test_google_clouds_charges_are_the_same_from_either_warehouse(warehouse: Any, tmp_path: Path) -> None:
    async with open_gcp_bench(tmp_path, warehouse=warehouse) as bench:
        await bench.load_rows(ROWS)

        await build_focus(bench.context("gcp-export", "transform_focus", DAYS), DAYS, ["gcp"])

        found = await charges(bench)

    assert found == [
        ("Adjustment", "Correction", Decimal("-0.5"), PACIFIC_DECEMBER, None, "hour"),
        ("Credit", None, Decimal("-2.5"), PACIFIC_NOVEMBER, '{"team":"core"}', None),
        ("Tax", None, Decimal("1.25"), PACIFIC_NOVEMBER, None, "Charges"),
        ("Usage", None, Decimal(9), PACIFIC_NOVEMBER, '{"team":"core"}', "hour"),
    ]


async def charges(bench: GcpBench) -> list[tuple[Any, ...]]:
    rows = await bench.rows(
        "SELECT ChargeCategory, ChargeClass, BilledCost, BillingPeriodStart, TO_JSON_STRING(Tags) AS Tags, PricingUnit"
        " FROM focus_cost_daily ORDER BY ChargeCategory"
    )
    return [tuple(row.values()) for row in rows]
