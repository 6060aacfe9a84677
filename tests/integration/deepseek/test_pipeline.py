"""From an upload to the cost table and the report: every figure against what the provider knows to be true."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from step_bench import NOW, Bench, last_days

from convergence.costs.report import read_costs
from convergence.simulator import DeepSeekWorld, ExportForm

from .conftest import load_export

WINDOW = last_days(30)
TYPES = ("input_cache_hit_tokens", "input_cache_miss_tokens", "output_tokens", "request_count")
FORMS = {
    "utc-days": ExportForm("utc_date"),
    "iso-days": ExportForm("iso"),
    "hours": ExportForm("iso", by="hour"),
}


@pytest.fixture
def world(request: pytest.FixtureRequest) -> DeepSeekWorld:
    currency = getattr(request, "param", "USD")
    return DeepSeekWorld(seed=12, end_day=NOW.date(), days=30, rows_per_day=6, currency=currency)


async def billed_by(bench: Bench, column: str) -> dict[str, Decimal]:
    rows = await bench.rows(f"SELECT {column} AS key, SUM(billed_cost) AS cost FROM deepseek_cost_daily GROUP BY 1")
    return {row["key"]: row["cost"] for row in rows}


@pytest.mark.parametrize("name", FORMS)
async def test_thirty_days_are_the_truth_to_the_last_digit_twice(bench: Bench, name: str) -> None:
    """In raw, in the cost table and in the report; by day, by model and by key; and again from the same file."""
    first = await load_export(bench, WINDOW, FORMS[name])
    again = await load_export(bench, WINDOW, FORMS[name])
    truth = bench.truth()
    by_day = {day: cost for day, cost in truth["cost"]["by_day"].items() if cost}
    report = await read_costs(bench.warehouse, bench.org, WINDOW, granularity="day", providers=["deepseek"])

    assert len(by_day) >= 27
    assert await bench.daily("deepseek_reported_cost_daily_raw", "amount") == by_day
    assert await bench.daily("deepseek_cost_daily", "billed_cost") == by_day
    assert {row["day"].isoformat(): row["billed_cost"] for row in report.rows if row["billed_cost"]} == by_day
    assert report.total["billed_cost"] == truth["cost"]["total"]
    assert await billed_by(bench, "model") == truth["cost"]["by_model"]
    assert await billed_by(bench, "api_key_id") == truth["cost"]["by_api_key"]
    assert await usage(bench) == truth["usage"]
    assert (first["load_export"].warnings, first["load_export"].metadata["unexplained"]) == ((), [])
    assert [again[step].metadata["days_replaced"] for step in ("load_export", "transform_cost")] == [0, 0]


async def usage(bench: Bench) -> dict[str, int]:
    rows = await bench.rows("SELECT type, SUM(amount) AS n FROM deepseek_usage_daily_raw GROUP BY type")
    return {row["type"]: int(row["n"]) for row in rows}


@pytest.mark.parametrize("world", ["USD", "CNY"], indirect=True)
async def test_list_cost_is_usage_at_public_prices_of_the_account_s_currency(bench: Bench) -> None:
    await load_export(bench, WINDOW)
    truth = bench.truth()
    rows = await bench.rows(
        "SELECT usage_date, currency, SUM(list_cost) AS listed FROM deepseek_cost_daily"
        " WHERE price_version IS NOT NULL GROUP BY 1, 2"
    )
    found = {row["usage_date"].isoformat(): row["listed"] for row in rows}
    public = truth["list_cost"]["by_day"]

    assert {row["currency"] for row in rows} == {truth["currency"]}
    assert max(abs(found[day] - public[day]) for day in public) < Decimal("0.0000001")


async def test_peak_and_off_peak_are_rows_of_their_own_tier(bench: Bench) -> None:
    await load_export(bench, last_days(7))
    rows = await bench.rows(
        "SELECT DISTINCT service_tier, charged_unit_price, list_unit_price FROM deepseek_cost_daily"
        " WHERE model = 'deepseek-flash' AND token_class = 'output'"
    )
    assert {(row["service_tier"], row["charged_unit_price"]) for row in rows} == {
        ("default", Decimal("0.6")),
        ("peak", Decimal("1.2")),
    }
    assert all(row["list_unit_price"] == row["charged_unit_price"] for row in rows)


async def test_what_the_book_does_not_know_is_listed_at_what_was_charged(bench: Bench) -> None:
    await load_export(bench, last_days(7))
    (row,) = await bench.rows(
        "SELECT SUM(list_cost) AS listed, SUM(billed_cost) AS billed, COUNT(price_version) AS versions"
        " FROM deepseek_cost_daily WHERE model = 'deepseek-nightjar'"
    )
    assert row["listed"] == row["billed"] > 0
    assert row["versions"] == 0


async def test_every_grouping_adds_up_to_the_total(bench: Bench) -> None:
    await load_export(bench, WINDOW)
    total = bench.truth()["cost"]["total"]
    for group in ("person", "team", "model", "api_key", "service", "token_class"):
        report = await read_costs(bench.warehouse, bench.org, WINDOW, granularity="total", group_by=[group])
        assert sum(row["billed_cost"] for row in report.rows) == total


async def test_balance_and_models_are_what_the_api_tells(bench: Bench) -> None:
    await bench.run_all(last_days(1))
    bench.clock.advance(timedelta(days=1))
    bench.simulator.clock.advance(timedelta(days=1))
    await bench.run_all(last_days(1))
    ledger: list[dict[str, Any]] = await bench.rows(
        "SELECT * FROM deepseek_balance_ledger WHERE currency = 'USD' ORDER BY snapshot_date"
    )
    models = await bench.rows("SELECT id FROM deepseek_models WHERE NOT is_deleted ORDER BY id")
    spent = bench.truth()["cost"]["total"]

    assert [row["id"] for row in models] == ["deepseek-flash", "deepseek-nightjar", "deepseek-v4-pro"]
    assert [row["previous_date"] for row in ledger] == [None, NOW.date()]
    assert 0 <= Decimal(10_010) - ledger[-1]["total_balance"] - spent < Decimal("0.01")
    assert ledger[-1]["apparent_spend"] == 0
    assert await bench.rows("SELECT DISTINCT currency FROM deepseek_balance_snapshot_raw ORDER BY 1") == [
        {"currency": "CNY"},
        {"currency": "USD"},
    ]
