"""Rows as Google documents them, and the net cost that each states."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from gcp_bench import billing_row, credit

from convergence.catalog import Catalog
from convergence.processors.gcp._billing_rows import build_rows
from convergence.processors.gcp._files import read_file
from convergence.simulator.gcp import write_ndjson

SCHEMA = Catalog(Path(__file__).parents[4] / "configs").schema("gcp_billing_daily_raw")
NOWHERE: dict[str, Any] = {"project": None, "location": None, "usage": None}
KEYS = billing_row(cost=0.000528, usage={"amount": 23584.0, "unit": "seconds", "amount_in_pricing_units": 0.008805256})
ROWS = {
    "an hour of a key": (KEYS, "0.000528"),
    "two discounts in rupees": (
        billing_row(
            cost=100.0,
            currency="INR",
            currency_conversion_rate=83.33333333333333,
            credits=[credit(-12.0), credit(-3.0, "SUSTAINED_USAGE_DISCOUNT")],
        ),
        "85",
    ),
    "a committed use discount": (billing_row(cost=12.24, credits=[credit(-8.16)]), "4.08"),
    "no discount": (billing_row(cost=20.4), "20.4"),
    "tokens that came four days late": (billing_row(cost=1.25, export_time="2026-11-21T02:00:00Z"), "1.25"),
    "a correction": (billing_row(cost=-2.04, cost_type="adjustment"), "-2.04"),
    "tax": (billing_row(cost=3.05, cost_type="tax", **NOWHERE), "3.05"),
    "a rounding error": (billing_row(cost=-0.001, cost_type="rounding_error", **NOWHERE), "-0.001"),
}


@pytest.mark.parametrize("name", list(ROWS))
def test_a_documented_row_is_its_net_cost(name: str, tmp_path: Path) -> None:
    row, net = ROWS[name]
    source = read_file(write_ndjson([row], tmp_path / "row.ndjson"), "row.ndjson", SCHEMA)

    found = build_rows(source, SCHEMA, "upload")

    assert (found.rows["net_cost"].to_pylist(), found.rejects) == ([Decimal(net)], ())
    assert found.rows["partition_date"].to_pylist()[0].isoformat() == row["export_time"][:10]
