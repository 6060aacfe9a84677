"""From the provider to the cost table: every figure against what the provider knows to be true."""

from __future__ import annotations

from decimal import Decimal

import pytest
from step_bench import TODAY, Bench, last_days

from convergence.costs.report import read_costs
from convergence.simulator import AnthropicWorld

from .conftest import MONEY

WINDOW = last_days(7)
A_HAIR = Decimal("0.000001")
_COLUMNS = {
    "uncached_input_tokens": "uncached_input_tokens",
    "cache_creation_5m_input_tokens": "cache_creation.ephemeral_5m_input_tokens",
    "cache_creation_1h_input_tokens": "cache_creation.ephemeral_1h_input_tokens",
    "cache_read_input_tokens": "cache_read_input_tokens",
    "output_tokens": "output_tokens",
    "web_search_requests": "server_tool_use.web_search_requests",
}


async def billed(bench: Bench, where: str = "TRUE") -> Decimal:
    found: Decimal = await bench.value(f"SELECT COALESCE(SUM(billed_cost), 0) FROM anthropic_cost_daily WHERE {where}")
    return found


async def test_usage_is_the_provider_s(bench: Bench) -> None:
    await bench.run("anthropic.usage", WINDOW)
    (row,) = await bench.rows(
        f"SELECT {', '.join(f'SUM({name}) AS {name}' for name in _COLUMNS)} FROM anthropic_usage_daily_raw"
    )
    assert {_COLUMNS[name]: value for name, value in row.items()} == bench.truth()["usage"]


async def test_billed_cost_of_every_day_is_the_reported_one(bench: Bench) -> None:
    await bench.run_all(WINDOW)
    truth = {day: cost for day, cost in bench.truth()["cost"]["by_day"].items() if cost}
    assert len(truth) >= 6
    assert await bench.daily("anthropic_reported_cost_daily_raw", "amount") == truth
    assert await bench.daily("anthropic_cost_daily", "billed_cost") == truth


@pytest.mark.parametrize(("group", "column"), [("by_workspace", "workspace_id"), ("by_description", "description")])
async def test_what_the_provider_tells_apart_stays_apart(bench: Bench, group: str, column: str) -> None:
    await bench.run_all(WINDOW)
    rows = await bench.rows(
        f"SELECT {column} AS key, SUM(billed_cost) AS cost FROM anthropic_cost_daily"
        f" WHERE {column} IS NOT NULL GROUP BY {column}"
    )
    assert {row["key"]: row["cost"] for row in rows} == bench.truth()["cost"][group]


@pytest.fixture
def one_geography(bench: Bench) -> Bench:
    bench.world.us_inference = False
    return bench


async def test_cost_by_key_is_what_each_key_caused(one_geography: Bench) -> None:
    """The provider tells no cost by key; the split by priced tokens finds it but for the rounding of the lines."""
    bench = one_geography
    await bench.run_all(WINDOW)
    rows = await bench.rows(
        "SELECT COALESCE(api_key_id, traffic) AS key, SUM(billed_cost) AS cost FROM anthropic_cost_daily"
        " WHERE cost_source = 'allocated' GROUP BY 1"
    )
    found, truth = {row["key"]: row["cost"] for row in rows}, bench.truth()["caused"]["by_api_key"]
    assert found.keys() == truth.keys()
    assert max(abs(found[key] - truth[key]) for key in truth) < A_HAIR


async def test_list_cost_is_usage_at_public_prices(bench: Bench) -> None:
    await bench.run_all(WINDOW)
    listed = await bench.value("SELECT SUM(list_cost) FROM anthropic_cost_daily")
    priority = await bench.value("SELECT SUM(list_cost) FROM anthropic_cost_daily WHERE service_tier = 'priority'")
    truth = bench.truth()["list_cost"]
    assert abs(listed - truth["total"]) < A_HAIR
    assert abs(priority - truth["priority"]) < A_HAIR


async def test_a_second_run_rewrites_nothing(bench: Bench) -> None:
    await bench.run_all(WINDOW)
    again = [await bench.run(step, WINDOW) for step in (*MONEY, "anthropic.claude_code")]
    assert [result.metadata["days_unchanged"] for result in again] == [7, 7, 7, 7]


async def test_days_loaded_one_by_one_are_those_loaded_at_once(bench: Bench) -> None:
    await bench.run_all(WINDOW)
    for day in WINDOW.chunks(1):
        for step in MONEY:
            result = await bench.run(step, day, config={"restatement_days": 0, "month_end_days": 0})
            assert result.metadata["days_unchanged"] == 1


async def test_every_grouping_adds_up_to_the_total(bench: Bench) -> None:
    await bench.run_all(WINDOW)
    total = bench.truth()["cost"]["total"]
    for group in ("person", "team", "model", "project", "api_key", "service", "token_class", "line_item"):
        report = await read_costs(bench.warehouse, bench.org, WINDOW, granularity="total", group_by=[group])
        assert sum(row["billed_cost"] for row in report.rows) == total
        assert report.total["billed_cost"] == total


async def test_cost_of_a_person_is_what_their_keys_caused(one_geography: Bench) -> None:
    bench = one_geography
    await bench.run_all(WINDOW)
    report = await read_costs(bench.warehouse, bench.org, WINDOW, granularity="total", group_by=["person"])
    found = {row["person"]: row["billed_cost"] for row in report.rows}
    listed = {user["id"] for user in await bench.rows("SELECT id FROM anthropic_users")}
    truth = bench.truth()
    known = {
        person["email"]: truth["caused"]["by_person"][person["id"]]
        for person in truth["directory"]["people"]
        if person["email"] and person["id"] in listed and person["id"] in truth["caused"]["by_person"]
    }
    assert len(known) > 5
    assert max(abs(found[person] - cost) for person, cost in known.items()) < A_HAIR


async def test_thirty_days_with_restatements_are_the_truth_to_the_cent(bench: Bench) -> None:
    """In raw, daily and the costs endpoint's report; twice in a row; after removed rows."""
    bench.world = AnthropicWorld(seed=12, end_day=TODAY, days=30, rows_per_day=40)
    bench.simulator.add_account("sk-ant-admin01-thirty-0123456789", bench.world, provider="anthropic")
    window, key = last_days(30), "sk-ant-admin01-thirty-0123456789"
    changes = (None, None, ("restate", 0.4), ("remove", 0.3))
    for change in changes:
        if change is not None:
            bench.world.revise(change[0], [window.last, *list(window.days())[4:6]], share=change[1])
        for step in MONEY:
            await bench.run(step, window, key=key)
        truth = bench.simulator.truth(key)["cost"]
        by_day = {day: cost for day, cost in truth["by_day"].items() if cost}
        report = await read_costs(bench.warehouse, bench.org, window, granularity="day", providers=["anthropic"])
        assert await bench.daily("anthropic_reported_cost_daily_raw", "amount") == by_day
        assert await bench.daily("anthropic_cost_daily", "billed_cost") == by_day
        assert {row["day"].isoformat(): row["billed_cost"] for row in report.rows if row["billed_cost"]} == by_day
        assert report.total["billed_cost"] == truth["total"]
