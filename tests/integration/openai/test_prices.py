"""The price book, the seat plans and the cost report on a real warehouse."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from step_bench import CONFIGS, TODAY, Bench, last_days

from convergence.catalog import Catalog
from convergence.costs.prices.service import (
    create_price,
    delete_price,
    initialize_prices,
    list_prices,
    reset_prices,
    update_price,
)
from convergence.costs.report import read_costs
from convergence.costs.subscriptions import create_plan, delete_plan, initialize_plans, list_plans, update_plan
from convergence.errors import Conflict, InvalidRequest, NotFound
from convergence.kit.window import Window
from convergence.sql import Statement


@pytest.fixture
def place(bench: Bench) -> tuple[Any, ...]:
    return bench.warehouse, Catalog(CONFIGS), bench.org, "openai"


async def test_the_seed_is_read_without_a_fault(place: tuple[Any, ...]) -> None:
    prices = await reset_prices(*place)
    assert await list_prices(*place) == sorted(
        prices, key=lambda p: (p.model_id, p.service_tier, p.condition or "", p.valid_from or date.min)
    )
    assert len(prices) > 200


async def test_a_price_book_is_filled_once(place: tuple[Any, ...]) -> None:
    assert await initialize_prices(*place) is True
    assert await initialize_prices(*place) is False


async def test_create_update_delete(place: tuple[Any, ...]) -> None:
    await create_price(*place, {"model_id": "mine", "input_per_million": "1.5"})
    changed = await update_price(*place, "mine", values={"input_per_million": "2.000000001"})
    assert await list_prices(*place) == [changed]
    assert changed.rates == {"input_per_million": Decimal("2.000000001")}
    assert await delete_price(*place, "mine") == 1
    assert await list_prices(*place) == []


async def test_an_overlapping_price_is_a_conflict(place: tuple[Any, ...]) -> None:
    await create_price(*place, {"model_id": "mine", "input_per_million": "1", "valid_to": "2026-06-01"})
    await create_price(*place, {"model_id": "mine", "input_per_million": "2", "valid_from": "2026-06-01"})
    with pytest.raises(Conflict):
        await create_price(*place, {"model_id": "mine", "input_per_million": "3", "valid_from": "2026-05-31"})


async def test_all_faults_of_a_price_at_once(place: tuple[Any, ...]) -> None:
    values = {
        "input_per_million": "-1", "output_per_million": 1.5, "cache_write_per_million": "NaN",
        "valid_from": "soon", "currency": "dollars", "color": "red", "audio_input_per_million": "0.0000000001",
    }  # fmt: skip
    with pytest.raises(InvalidRequest) as caught:
        await create_price(*place, values)
    keys = {str(fault).split(":")[0] for fault in caught.value.fields["faults"]}  # type: ignore[attr-defined]
    assert keys >= {*values, "model_id"}


async def test_a_price_that_is_not_there(place: tuple[Any, ...]) -> None:
    with pytest.raises(NotFound):
        await update_price(*place, "nothing", values={"input_per_million": "1"})
    with pytest.raises(NotFound):
        await delete_price(*place, "nothing")


async def test_a_provider_without_a_price_book(bench: Bench) -> None:
    with pytest.raises(InvalidRequest, match="no price book"):
        await list_prices(bench.warehouse, Catalog(CONFIGS), bench.org, "gcp")


async def test_a_changed_price_changes_list_cost_and_not_what_is_billed(bench: Bench, place: tuple[Any, ...]) -> None:
    window = last_days(3)
    await bench.run_all(window)
    before = await bench.value("SELECT SUM(billed_cost) FROM openai_cost_daily")
    await update_price(*place, "gpt-5-mini", values={"output_per_million": "200"})
    await bench.run("openai.cost", window)
    listed = await bench.rows(
        "SELECT DISTINCT list_unit_price FROM openai_cost_daily"
        " WHERE model = 'gpt-5-mini' AND token_class = 'output' AND service_tier = 'default' AND NOT batch"
    )
    assert await bench.value("SELECT SUM(billed_cost) FROM openai_cost_daily") == before
    assert listed == [{"list_unit_price": Decimal(200)}]


async def test_seat_plans_month_by_month(bench: Bench, place: tuple[Any, ...]) -> None:
    assert await initialize_plans(*place) is True
    await create_plan(
        *place, {"plan_name": "Team", "seats": 3, "unit_price": "25", "valid_from": "2026-10-20", "currency": "USD"}
    )
    await update_plan(*place, "Team", values={"seats": 4})
    await bench.run("openai.subscriptions", Window(date(2026, 9, 15), TODAY))
    rows = await bench.rows("SELECT month, amount FROM openai_subscriptions_monthly ORDER BY month")
    assert rows == [
        {"month": date(2026, 10, 1), "amount": Decimal(100)},
        {"month": date(2026, 11, 1), "amount": Decimal(100)},
    ]
    assert await delete_plan(*place, "Team") == 1
    assert {plan.seats for plan in await list_plans(*place)} == {0}


async def test_a_team_is_that_of_the_day(bench: Bench) -> None:
    window = last_days(4)
    await bench.run_all(window)
    await bench.warehouse.ensure(bench.org.table("identity_mapping"), Catalog(CONFIGS).schema("identity_mapping"))
    people = await read_costs(bench.warehouse, bench.org, window, granularity="total", group_by=["person"])
    person = next(row["person"] for row in people.rows if row["person"])
    for team, start, end in (("Old", None, window.last), ("New", window.last, None), ("Twice", window.last, None)):
        await bench.warehouse.execute(
            Statement(
                "INSERT INTO identity_mapping (person, team, valid_from, valid_to)"
                " VALUES (@person, @team, CAST(@start AS DATE), CAST(@end AS DATE))",
                bench.org.dataset,
                {"person": person, "team": team, "start": start, "end": end},
            )
        )
    teams = await read_costs(bench.warehouse, bench.org, window, granularity="total", group_by=["team"])
    named = {row["team"] for row in teams.rows}
    assert named == {"Old", "New", None}
    assert sum(row["billed_cost"] for row in teams.rows) == people.total["billed_cost"]


async def test_months_and_providers(bench: Bench) -> None:
    window = last_days(7)
    await bench.run_all(window)
    report = await read_costs(bench.warehouse, bench.org, window, granularity="month", group_by=["provider"])
    assert [(row["month"], row["provider"]) for row in report.rows] == [(date(2026, 11, 1), "openai")]
    assert report.rows[0]["billed_cost"] == report.total["billed_cost"]


async def test_an_organization_without_cost_tables(bench: Bench) -> None:
    report = await read_costs(bench.warehouse, bench.org, last_days(7))
    assert (report.rows, report.total["billed_cost"]) == ([], Decimal(0))


async def test_two_currencies_have_two_totals(bench: Bench) -> None:
    await bench.run_all(last_days(2))
    await bench.warehouse.execute(
        Statement("UPDATE openai_cost_daily SET currency = 'EUR' WHERE token_class = 'output'", bench.org.dataset)
    )
    report = await read_costs(bench.warehouse, bench.org, last_days(2), granularity="total")
    assert {row["currency"] for row in report.totals} == {"USD", "EUR"}
    assert len(report.rows) == 2


async def test_what_cannot_be_grouped_by_is_named(bench: Bench) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await read_costs(
            bench.warehouse, bench.org, last_days(1), granularity="hour", group_by=["mood"], providers=["x"]
        )
    assert len(caught.value.fields["faults"]) == 3  # type: ignore[arg-type]
