"""Cursor over HTTP, in both warehouses: from a key to costs and seats."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from convergence.simulator import CursorWorld, Simulator, SimulatorServer

from .conftest import TODAY, WAREHOUSES, Api, days, on_bigquery, open_api

KEY = "crsr_acceptance0123456789abcdef"


@pytest.fixture(scope="module")
def team() -> Iterator[SimulatorServer]:
    """The last three days of a small team."""
    simulator = Simulator()
    world = CursorWorld(end_day=TODAY, days=3, rows_per_day=12, steady=True)
    simulator.add_account(KEY, world, provider="cursor")
    with SimulatorServer(simulator) as server:
        yield server


@pytest.fixture(params=WAREHOUSES)
async def api_of_team(request: pytest.FixtureRequest, folder: Path, team: SimulatorServer) -> AsyncIterator[Api]:
    """A platform with a worker, in each warehouse."""
    variables = {"CURSOR_BASE_URL": team.base_urls["cursor"]}
    if request.param == "bigquery":
        variables |= on_bigquery(request.getfixturevalue("bigquery_emulator"))
    async with open_api(folder, work=True, **variables) as opened:
        await opened.bootstrap()
        yield opened


async def test_from_a_key_to_costs_to_the_last_digit(api_of_team: Api, team: SimulatorServer) -> None:
    api = api_of_team
    key = await api.onboard("acme", "SCALE")
    setup = await api.send("POST", "/integrations/acme/cursor/setup", key, json={"credential": KEY})
    accepted = await api.send("POST", "/pipelines/run/acme/cursor/usage_cost", key, json=days())
    run = await api.wait_for(key, accepted.json()["pipeline_logging_id"])
    assert (setup.status_code, setup.json()["subscriptions_initialized"], run["status"]) == (200, True, "COMPLETED")
    assert {step["status"] for step in run["steps"]} == {"COMPLETED"}

    grouped = {**days(), "granularity": "total", "group_by": "provider,user"}
    costs = await api.send("GET", "/costs/acme", key, params=grouped)
    truth = team.simulator.truth(KEY)
    assert {
        row["user"]: Decimal(row["billed_cost"]) for row in costs.json()["rows"] if Decimal(row["billed_cost"])
    } == truth["cost"]["by_user"]
    assert Decimal(costs.json()["total"]["list_cost"]) == truth["list_cost"]["total"]


async def test_seats_of_a_plan_are_priced_month_by_month(api: Api) -> None:
    key = await api.onboard("acme")
    plan = {"plan_name": "Teams", "seats": 3, "unit_price": "40", "valid_from": TODAY.replace(day=1).isoformat()}
    made = await api.send("POST", "/integrations/acme/cursor/subscriptions", key, json=plan)
    listed = (await api.send("GET", "/integrations/acme/cursor/subscriptions", key)).json()["items"]
    assert made.status_code == 201
    assert {item["plan_name"] for item in listed} >= {"Teams"}
