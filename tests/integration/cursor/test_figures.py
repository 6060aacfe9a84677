"""A week that was loaded once: every figure against what the provider knows to be true."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import pytest_asyncio
from step_bench import NOW, TODAY, Bench, last_days, open_bench

from convergence.costs.report import read_costs
from convergence.kit.clock import ManualClock
from convergence.simulator import CursorWorld, Simulator, SimulatorServer

from .conftest import KEY

pytestmark = pytest.mark.asyncio(loop_scope="module")
WINDOW = last_days(7)
EVENTS = "FROM cursor_usage_events_raw"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def loaded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    """Seven days, loaded once for all that only look at them."""
    simulator = Simulator(clock=ManualClock(NOW))
    world = CursorWorld(seed=11, end_day=TODAY, days=7, rows_per_day=60)
    simulator.add_account(KEY, world, provider="cursor")
    with SimulatorServer(simulator) as server:
        async with open_bench(server, world, tmp_path_factory.mktemp("cursor"), "cursor", KEY) as bench:
            bench.simulator.clock = bench.clock
            await bench.run_all(WINDOW)
            yield bench


async def group(bench: Bench, column: str, amount: str, where: str = "TRUE") -> dict[str, Decimal]:
    rows = await bench.rows(
        f"SELECT {column} AS name, SUM({amount}) AS amount FROM cursor_cost_daily WHERE {where} GROUP BY {column}"
    )
    return {row["name"]: row["amount"] for row in rows}


async def test_billed_cost_of_every_day_is_what_chargeable_events_were_charged(loaded: Bench) -> None:
    truth = loaded.truth()["cost"]
    assert len(truth["by_day"]) >= 6
    assert await loaded.daily("cursor_cost_daily", "billed_cost") == truth["by_day"]
    assert await group(loaded, "kind", "billed_cost", "is_chargeable") == truth["by_kind"]


async def test_usage_is_the_provider_s(loaded: Bench) -> None:
    names = ("input_tokens", "output_tokens", "cache_write_tokens", "cache_read_tokens")
    (raw,) = await loaded.rows(
        f"SELECT {', '.join(f'SUM({name}) AS {name}' for name in names)} FROM cursor_usage_events_raw"
    )
    truth = loaded.truth()["usage"]
    classes = await group(loaded, "token_class", "quantity", "token_class IS NOT NULL")
    assert raw == {name: truth[name] for name in names}
    assert classes == {
        "input": truth["input_tokens"],
        "cached_input": truth["cache_read_tokens"],
        "cache_write": truth["cache_write_tokens"],
        "output": truth["output_tokens"],
        "request": truth["requests"],
    }


@pytest.mark.parametrize(("column", "name"), [("user_email", "by_user"), ("model", "by_model"), ("kind", "by_kind")])
async def test_list_cost_is_what_the_provider_values_events_at(loaded: Bench, column: str, name: str) -> None:
    listed = await group(loaded, column, "list_cost")
    truth = loaded.truth()["list_cost"][name]
    assert {key: amount for key, amount in listed.items() if amount} == {
        key: amount for key, amount in truth.items() if amount
    }


async def test_events_that_the_plan_includes_have_a_list_cost_and_are_billed_nothing(loaded: Bench) -> None:
    rows = await loaded.rows(
        "SELECT cost_source, SUM(billed_cost) AS billed, MIN(list_cost) AS least, SUM(list_cost) AS listed"
        " FROM cursor_cost_daily WHERE kind = 'Included in Business' GROUP BY cost_source"
    )
    (row,) = rows
    assert (row["cost_source"], row["billed"], row["listed"]) == (
        "provider",
        0,
        loaded.truth()["list_cost"]["by_kind"]["Included in Business"],
    )
    assert row["least"] > 0


async def test_no_row_is_without_a_list_cost_or_an_estimate(loaded: Bench) -> None:
    """A model that no price book has is valued by Cursor all the same."""
    assert await loaded.value("SELECT COUNT(*) FROM cursor_cost_daily WHERE model = 'nightjar-1'") > 0
    assert await loaded.value("SELECT COUNT(*) FROM cursor_cost_daily WHERE list_cost IS NULL") == 0
    assert await loaded.value("SELECT COUNT(*) FROM cursor_cost_daily WHERE cost_source = 'estimated'") == 0


async def test_what_the_plan_includes_is_worth_its_list_cost_in_focus_and_costs_nothing(loaded: Bench) -> None:
    (row,) = await loaded.rows(
        "SELECT SUM(ListCost) AS listed, SUM(BilledCost) AS billed, SUM(EffectiveCost) AS effective"
        " FROM focus_cost_daily WHERE x_Provider = 'cursor'"
    )
    billed = loaded.truth()["cost"]["total"]
    assert row == {"listed": loaded.truth()["list_cost"]["total"], "billed": billed, "effective": billed}


async def test_a_discount_shows_between_list_and_billed_cost(loaded: Bench) -> None:
    (row,) = await loaded.rows(
        "SELECT SUM(list_cost) AS listed, SUM(billed_cost) AS billed FROM cursor_cost_daily"
        " WHERE model = 'gpt-5' AND max_mode AND is_chargeable"
    )
    (raw,) = await loaded.rows(
        "SELECT SUM(total_amount) AS total, SUM(cursor_token_fee) AS fee, SUM(charged_amount) AS charged"
        " FROM cursor_usage_events_raw WHERE model = 'gpt-5' AND max_mode AND is_chargeable"
    )
    assert (row["listed"], row["billed"]) == (raw["total"] + raw["fee"], raw["charged"])
    assert abs(raw["charged"] - raw["total"] * Decimal("0.9") - raw["fee"]) < Decimal("0.00001")


async def test_every_grouping_adds_up_to_the_total(loaded: Bench) -> None:
    truth = loaded.truth()["cost"]["total"]
    for name in ("person", "team", "model", "user", "service", "token_class"):
        report = await read_costs(loaded.warehouse, loaded.org, WINDOW, granularity="total", group_by=[name])
        assert sum(row["billed_cost"] for row in report.rows) == report.total["billed_cost"] == truth


async def test_cost_of_a_person_is_what_they_caused(loaded: Bench) -> None:
    report = await read_costs(loaded.warehouse, loaded.org, WINDOW, granularity="total", group_by=["person"])
    found = {row["person"]: row["billed_cost"] for row in report.rows}
    truth = loaded.truth()
    members = {person["email"] for person in truth["directory"]["people"]}
    caused = {email: cost for email, cost in truth["cost"]["by_user"].items() if email in members}
    assert len(caused) > 8
    assert {person: found[person] for person in caused} == caused


async def test_spend_is_what_was_spent_since_the_cycle_began(loaded: Bench) -> None:
    rows = await loaded.rows("SELECT email, spend_amount, overall_spend_amount FROM cursor_spend_snapshot_raw")
    cycle = loaded.truth()["cycle"]
    members = {person["email"] for person in loaded.truth()["directory"]["people"]}
    assert {row["email"] for row in rows} == members
    for row in rows:
        spent, included = cycle["cost"].get(row["email"], 0), cycle["included"].get(row["email"], 0)
        assert (row["spend_amount"], row["overall_spend_amount"]) == (spent, spent + included)


async def test_activity_counts_the_events_of_each_member(loaded: Bench) -> None:
    rows = await loaded.rows(
        "SELECT email, SUM(usage_based_reqs) AS n FROM cursor_usage_daily_raw WHERE usage_based_reqs > 0 GROUP BY email"
    )
    events = await loaded.rows(
        "SELECT user_email AS email, COUNT(*) AS n FROM cursor_usage_events_raw"
        " WHERE is_chargeable AND service_account_id IS NULL GROUP BY user_email"
    )
    assert {row["email"]: row["n"] for row in rows} == {row["email"]: row["n"] for row in events}


async def test_events_that_are_equal_in_everything_are_two_events(loaded: Bench) -> None:
    """There is no event id; what tells them apart is which of the equal ones it is."""
    events = sum(loaded.truth()["rows"]["usage_events"].values())
    assert await loaded.value(f"SELECT COUNT(*) {EVENTS} WHERE occurrence = 2") > 5
    assert await loaded.value(f"SELECT COUNT(*) {EVENTS}") == events
    assert await loaded.value(f"SELECT COUNT(DISTINCT event_key) {EVENTS}") == events


async def test_a_person_s_events_at_one_moment_with_one_model_are_not_merged(loaded: Bench) -> None:
    """An upsert on time, e-mail address and model lost seven of ten events elsewhere."""
    upserted = f"SELECT DISTINCT event_timestamp, user_email, model {EVENTS}"
    events = sum(loaded.truth()["rows"]["usage_events"].values())
    assert await loaded.value(f"SELECT COUNT(*) FROM ({upserted}) AS upserted") < events
    assert await loaded.value(f"SELECT COUNT(*) {EVENTS}") == events


async def test_amounts_are_fractional_cents_and_become_dollars_once(loaded: Bench) -> None:
    cents = sum(event.price.charged for day in WINDOW.days() for event in loaded.world.events(day, NOW))
    assert await loaded.value("SELECT SUM(charged_amount) FROM cursor_usage_events_raw") == Decimal(cents).scaleb(-7)


async def test_the_token_fee_is_in_what_is_charged_and_is_not_added_again(loaded: Bench) -> None:
    (row,) = await loaded.rows(
        "SELECT SUM(charged_amount) AS charged, SUM(total_amount) AS total, SUM(cursor_token_fee) AS fee"
        " FROM cursor_usage_events_raw WHERE is_chargeable AND model = 'claude-4.5-sonnet'"
    )
    assert row["fee"] > 0
    assert row["charged"] == row["total"] + row["fee"]
    assert (
        await loaded.value("SELECT SUM(billed_cost) FROM cursor_cost_daily WHERE model = 'claude-4.5-sonnet'")
        == row["charged"]
    )


async def test_what_the_plan_includes_has_a_value_and_is_on_no_bill(loaded: Bench) -> None:
    """Both sums are kept: of all events, and of those that are chargeable."""
    truth = loaded.truth()
    gross = await loaded.value("SELECT SUM(charged_amount) FROM cursor_usage_events_raw")
    chargeable = await loaded.value("SELECT SUM(charged_amount) FROM cursor_usage_events_raw WHERE is_chargeable")
    assert (gross, chargeable) == (truth["cost"]["total"] + truth["included"]["total"], truth["cost"]["total"])
    assert await loaded.value("SELECT SUM(billed_cost) FROM cursor_cost_daily") == chargeable
    assert truth["included"]["total"] > 0


async def test_a_billing_cycle_follows_no_calendar_month(loaded: Bench) -> None:
    assert await loaded.value("SELECT MIN(subscription_cycle_start) FROM cursor_spend_snapshot_raw") == datetime(
        2026, 11, 14, 9, tzinfo=UTC
    )


async def test_activity_is_of_its_day_whatever_time_of_day_its_date_carries(loaded: Bench) -> None:
    days = await loaded.rows("SELECT DISTINCT usage_date FROM cursor_usage_daily_raw ORDER BY 1")
    assert [row["usage_date"] for row in days] == list(WINDOW.days())


async def test_members_who_did_nothing_have_their_row_too(loaded: Bench) -> None:
    """Without pages only those who did something are told."""
    assert await loaded.value("SELECT COUNT(*) FROM cursor_usage_daily_raw WHERE NOT is_active") > 0


async def test_the_key_is_in_no_table(loaded: Bench) -> None:
    for table in await loaded.warehouse.tables(loaded.org.dataset):
        assert KEY not in repr(await loaded.rows(f"SELECT * FROM {table}"))
