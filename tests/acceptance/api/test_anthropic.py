"""Anthropic beside OpenAI, over HTTP: from a key to costs and prices."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.simulator import AnthropicWorld, OpenAIWorld, Simulator, SimulatorServer

from .conftest import TODAY, WAREHOUSES, Api, days, on_bigquery, open_api

OPENAI_KEY = "sk-admin-both-0123456789abcdef"
ANTHROPIC_KEY = "sk-ant-admin01-both-0123456789abcdef"
PRICES = "/integrations/acme/anthropic/pricing"
PRICE = {
    "model_id": "claude-house",
    "valid_from": "2026-01-01",
    "input_per_million": "2.500000001",
    "cache_write_1h_per_million": "5",
}


@pytest.fixture(scope="module")
def both() -> Any:
    """Both providers, as they were over the last three days."""
    simulator = Simulator()
    simulator.add_account(OPENAI_KEY, OpenAIWorld(end_day=TODAY, days=3, rows_per_day=20, steady=True))
    world = AnthropicWorld(end_day=TODAY, days=3, rows_per_day=40, steady=True)
    simulator.add_account(ANTHROPIC_KEY, world, provider="anthropic")
    with SimulatorServer(simulator) as server:
        yield server


@pytest.fixture(params=WAREHOUSES)
async def api_of_both(request: pytest.FixtureRequest, folder: Path, both: SimulatorServer) -> AsyncIterator[Api]:
    """A platform with a worker and both providers, in each warehouse."""
    variables = {f"{name.upper()}_BASE_URL": url for name, url in both.base_urls.items()}
    if request.param == "bigquery":
        variables |= on_bigquery(request.getfixturevalue("bigquery_emulator"))
    async with open_api(folder, work=True, **variables) as opened:
        await opened.bootstrap()
        yield opened


async def test_both_providers_stand_side_by_side_to_the_last_digit(api_of_both: Api, both: SimulatorServer) -> None:
    api = api_of_both
    key = await api.onboard("acme", "SCALE")
    for provider, credential in (("openai", OPENAI_KEY), ("anthropic", ANTHROPIC_KEY)):
        setup = await api.send("POST", f"/integrations/acme/{provider}/setup", key, json={"credential": credential})
        accepted = await api.send("POST", f"/pipelines/run/acme/{provider}/usage_cost", key, json=days())
        run = await api.wait_for(key, accepted.json()["pipeline_logging_id"])
        assert (setup.status_code, setup.json()["pricing_initialized"], run["status"]) == (200, True, "COMPLETED")
        assert {step["status"] for step in run["steps"]} == {"COMPLETED"}

    costs = await api.send("GET", "/costs/acme", key, params={**days(), "granularity": "total", "group_by": "provider"})
    found = {row["provider"]: Decimal(row["billed_cost"]) for row in costs.json()["rows"]}
    assert found == {
        "openai": both.simulator.truth(OPENAI_KEY)["cost"]["total"],
        "anthropic": both.simulator.truth(ANTHROPIC_KEY)["cost"]["total"],
    }


async def test_an_ordinary_key_is_a_400_that_names_the_admin_key(api_of_both: Api) -> None:
    key = await api_of_both.onboard("acme")
    refused = await api_of_both.send(
        "POST", "/integrations/acme/anthropic/setup", key, json={"credential": "sk-ant-api03-0123456789abcdef"}
    )
    problem = refused.json()
    assert (refused.status_code, problem["code"], problem["validation_status"]) == (
        400,
        "credential_invalid",
        "INVALID",
    )
    assert "Admin key" in f"{problem['detail']} {problem.get('hint')}"


async def test_the_price_book_has_cache_writes_and_can_be_changed(api: Api) -> None:
    key = await api.onboard("acme")
    made = await api.send("POST", PRICES, key, json=PRICE)
    changed = await api.send("PUT", f"{PRICES}/claude-house", key, json={"batch_output_per_million": "10"})
    deleted = await api.send("DELETE", f"{PRICES}/claude-house", key)
    reset = await api.send("POST", f"{PRICES}/reset", key)
    listed = (await api.send("GET", PRICES, key)).json()["items"]
    opus = next(item for item in listed if item["model_id"] == "claude-opus-4-8" and item["service_tier"] == "default")

    assert (made.status_code, changed.status_code, deleted.status_code, reset.status_code) == (201, 200, 200, 200)
    assert (changed.json()["input_per_million"], changed.json()["batch_output_per_million"]) == ("2.500000001", "10")
    assert (opus["cache_write_5m_per_million"], opus["cache_write_1h_per_million"]) == ("6.25", "10")
    assert opus["batch_output_per_million"] == "12.5"
