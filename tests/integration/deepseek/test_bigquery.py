"""The same export in BigQuery: its GoogleSQL, its types, and the newest of two files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from step_bench import TODAY, Bench, last_days

from convergence.simulator import DeepSeekWorld
from convergence.warehouse.bigquery import BigQueryWarehouse

from .conftest import load_export

DAY = last_days(1)


@pytest.fixture
def world() -> DeepSeekWorld:
    return DeepSeekWorld(seed=11, end_day=TODAY, days=1, rows_per_day=4, steady=True, granted_days=1)


@pytest.fixture
async def in_bigquery(bench: Bench, bigquery_emulator: Any) -> AsyncIterator[Bench]:
    embedded = bench.warehouse
    bench.warehouse = BigQueryWarehouse(bigquery_emulator.project(), endpoint=bigquery_emulator.endpoint)
    await bench.warehouse.ensure_dataset(bench.org.dataset)
    yield bench
    await bench.warehouse.close()
    bench.warehouse = embedded


async def test_a_restated_export_is_the_truth_in_bigquery_too(in_bigquery: Bench) -> None:
    bench = in_bigquery
    await load_export(bench, DAY)
    bench.world.revise("restate", [DAY.start], share=1.0)
    bench.clock.advance(timedelta(minutes=1))
    made = await load_export(bench, DAY)
    truth = bench.truth()
    rows = await bench.rows(
        "SELECT api_key_id, SUM(billed_cost) AS billed, SUM(list_cost) AS listed FROM deepseek_cost_daily GROUP BY 1"
    )

    assert {row["api_key_id"]: row["billed"] for row in rows} == truth["cost"]["by_api_key"]
    assert await bench.daily("deepseek_reported_cost_daily_raw", "amount") == truth["cost"]["by_day"]
    assert made["load_export"].metadata["unexplained"] == []


async def test_the_ledger_of_balances_is_a_view_there(in_bigquery: Bench) -> None:
    await in_bigquery.run("deepseek.balance", DAY)
    rows = await in_bigquery.rows("SELECT currency, balance_change FROM deepseek_balance_ledger ORDER BY currency")
    assert [(row["currency"], row["balance_change"]) for row in rows] == [("CNY", None), ("USD", None)]
