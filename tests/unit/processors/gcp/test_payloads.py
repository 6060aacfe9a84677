"""Rows as Google documents them, and the net cost that each states."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from gcp_bench import billing_row, credit

from convergence.catalog import Catalog
from convergence.processors.gcp._billing_rows import build_rows
from convergence.processors.gcp._files import read_file
from convergence.simulator.gcp import write_ndjson, write_parquet

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


def test_parquet_that_is_read_in_pieces_keeps_every_row(tmp_path: Path) -> None:
    """Arrow reads 131,072 rows at a time, and cannot cast the second piece of a record whose last part is null."""
    rows = [{**billing_row(credits=[]), "cost": float(place % 7)} for place in range(2)]
    few = pq.read_table(write_parquet(rows, tmp_path / "few.parquet"))
    columns = ["usage_start_time", "cost", "currency", "location"]
    pq.write_table(few.select(columns).take([0, 1] * 70_000), tmp_path / "many.parquet")

    found = build_rows(read_file(tmp_path / "many.parquet", "many.parquet", SCHEMA), SCHEMA, "upload")

    assert pc.sum(found.rows["net_cost"]).as_py() == 70_000
    assert found.rows["location"].null_count == 0


def test_parquet_of_another_writer_is_the_same_rows(tmp_path: Path) -> None:
    """Polars and others write large texts and lists."""
    rows = pa.table(
        {
            "usage_start_time": pa.array(["2026-11-17T10:00:00Z"], pa.large_string()),
            "currency": pa.array(["USD"]).dictionary_encode(),
            "cost": pa.array([10.25]),
            "credits": pa.array([[{"amount": -0.25}]], pa.large_list(pa.struct([("amount", pa.float64())]))),
        }
    )
    pq.write_table(rows, tmp_path / "large.parquet")

    found = build_rows(read_file(tmp_path / "large.parquet", "large.parquet", SCHEMA), SCHEMA, "upload")

    assert found.rows["net_cost"].to_pylist() == [Decimal(10)]


def test_numbers_that_are_text_in_some_rows_only_are_read_one_by_one(tmp_path: Path) -> None:
    path = write_ndjson([billing_row(cost="5.28E-4"), billing_row(cost=10.5)], tmp_path / "mixed.ndjson")

    found = build_rows(read_file(path, path.name, SCHEMA), SCHEMA, "upload")

    assert found.rows["net_cost"].to_pylist() == [Decimal("0.000528"), Decimal("10.5")]


def test_one_row_of_an_api_answer_is_an_export_too(tmp_path: Path) -> None:
    path = tmp_path / "row.json"
    path.write_text(json.dumps(billing_row(cost="5.28E-4"), indent=2))

    found = build_rows(read_file(path, path.name, SCHEMA), SCHEMA, "upload")

    assert found.rows["net_cost"].to_pylist() == [Decimal("0.000528")]
