from __future__ import annotations

import asyncio
from typing import Any

import pytest

from .conftest import Api

PRICES = "/integrations/acme/openai/pricing"
PLANS = "/integrations/acme/openai/subscriptions"
PRICE = {"model_id": "house-model", "valid_from": "2026-01-01", "input_per_million": "2.500000001"}
PLAN = {"plan_name": "TEAM", "seats": 5, "unit_price": "29.99", "valid_from": "2026-01-01"}


@pytest.fixture
async def key(api: Api) -> str:
    return await api.onboard("acme")


async def _items(api: Api, key: str, path: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await api.send("GET", path, key)).json()["items"]
    return items


async def test_a_price_is_created_changed_and_deleted(api: Api, key: str) -> None:
    made = await api.send("POST", PRICES, key, json=PRICE)
    changed = await api.send("PUT", f"{PRICES}/house-model", key, json={"output_per_million": "10"})
    listed = await _items(api, key, PRICES)
    deleted = await api.send("DELETE", f"{PRICES}/house-model", key)

    assert (made.status_code, made.json()["input_per_million"]) == (201, "2.500000001")
    assert (changed.json()["input_per_million"], changed.json()["output_per_million"]) == ("2.500000001", "10")
    assert changed.json()["price_version"] != made.json()["price_version"]
    assert [item["model_id"] for item in listed] == ["house-model"]
    assert (deleted.json(), await _items(api, key, PRICES)) == ({"model_id": "house-model", "deleted": 1}, [])


@pytest.mark.parametrize(("path", "row"), [(PRICES, PRICE), (PLANS, PLAN)])
async def test_of_two_that_create_the_same_at_once_one_overlaps(
    api: Api, key: str, path: str, row: dict[str, Any]
) -> None:
    days = ("2026-01-01", "2026-01-02", "2026-01-03")
    sent = [api.send("POST", path, key, json={**row, "valid_from": day}) for day in days]

    answers = await asyncio.gather(*sent)

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    assert len(await _items(api, key, path)) == 1


async def test_a_reset_brings_the_shipped_prices_and_no_others(api: Api, key: str) -> None:
    await api.send("POST", PRICES, key, json=PRICE)
    reset = await api.send("POST", f"{PRICES}/reset", key)

    assert reset.json()["items"] == await _items(api, key, PRICES)
    assert len(reset.json()["items"]) > 10
    assert "house-model" not in {item["model_id"] for item in reset.json()["items"]}


@pytest.mark.parametrize(
    "change",
    [
        {"input_per_million": 2.5},
        {"input_per_million": "-1"},
        {"input_per_million": "NaN"},
        {"input_per_million": "0.0000000001"},
        {"input_per_million": "1e40"},
        {"input_per_million": ""} | {"model_id": ""},
        {"valid_from": "yesterday"},
        {"valid_from": 20260101},
        {"valid_to": "2025-12-31"},
        {"currency": "dollars"},
        {"per_token": "1"},
    ],
)
async def test_a_price_that_cannot_be(api: Api, key: str, change: dict[str, object]) -> None:
    answer = await api.send("POST", PRICES, key, json={**PRICE, **change})

    assert (answer.status_code, await _items(api, key, PRICES)) == (422, [])


async def test_a_sync_proposes_names_what_it_keeps_and_writes_when_told(api: Api, key: str) -> None:
    await api.send("POST", f"{PRICES}/reset", key)
    await api.send("DELETE", f"{PRICES}/gpt-5-nano", key)
    await api.send("PUT", f"{PRICES}/o3", key, json={"input_per_million": "1.75"})
    proposed = (await api.send("POST", f"{PRICES}/sync", key, json={})).json()
    applied = (await api.send("POST", f"{PRICES}/sync", key, json={"apply": True})).json()
    again = (await api.send("POST", f"{PRICES}/sync", key, json={})).json()

    assert {item["price"]["model_id"] for item in proposed["proposals"]} == {"gpt-5-nano"}
    assert {item["kind"] for item in proposed["proposals"]} == {"added"}
    assert (applied["applied"], applied["proposals"], again["proposals"]) == (True, proposed["proposals"], [])
    assert [(kept["price"]["source"], kept["published"]["input_per_million"]) for kept in again["kept"]] == [
        ("organization", "2")
    ]


async def test_all_faults_of_a_price_at_once(api: Api, key: str) -> None:
    body = {**PRICE, "output_per_million": "-1", "currency": "dollars"}
    answer = await api.send("POST", PRICES, key, json=body)

    assert len(answer.json()["errors"]) == 2


async def test_prices_do_not_overlap(api: Api, key: str) -> None:
    await api.send("POST", PRICES, key, json=PRICE)
    answer = await api.send("POST", PRICES, key, json={**PRICE, "valid_from": "2026-06-01"})

    assert (answer.status_code, answer.json()["code"]) == (409, "price_overlaps")


async def test_prices_of_one_organization_are_its_own(api: Api, key: str) -> None:
    rival = await api.onboard("rival")
    await api.send("POST", PRICES, key, json=PRICE)

    assert await _items(api, rival, "/integrations/rival/openai/pricing") == []


async def test_what_is_not_there(api: Api, key: str) -> None:
    answers = [
        await api.send("PUT", f"{PRICES}/nothing", key, json={"input_per_million": "1"}),
        await api.send("DELETE", f"{PRICES}/nothing", key),
        await api.send("GET", "/integrations/acme/nothing/pricing", key),
        await api.send("PUT", f"{PLANS}/nothing", key, json={"seats": 1}),
        await api.send("DELETE", f"{PLANS}/nothing", key),
    ]

    assert [answer.status_code for answer in answers] == [404] * 5


async def test_a_plan_is_created_changed_and_deleted(api: Api, key: str) -> None:
    made = await api.send("POST", PLANS, key, json=PLAN)
    changed = await api.send("PUT", f"{PLANS}/TEAM", key, json={"seats": 6})
    again = await api.send("POST", PLANS, key, json=PLAN)
    deleted = await api.send("DELETE", f"{PLANS}/TEAM", key)

    assert (made.status_code, made.json()["unit_price"], made.json()["currency"]) == (201, "29.99", "USD")
    assert (changed.json()["seats"], changed.json()["unit_price"]) == (6, "29.99")
    assert (again.status_code, deleted.json()) == (409, {"plan_name": "TEAM", "deleted": 1})


async def test_a_reset_brings_the_shipped_plans(api: Api, key: str) -> None:
    await api.send("POST", PLANS, key, json=PLAN)
    reset = await api.send("POST", f"{PLANS}/reset", key)

    assert reset.json()["items"] == await _items(api, key, PLANS)
    assert reset.json()["items"]


@pytest.mark.parametrize(
    "change",
    [{"seats": 1.5}, {"seats": "5"}, {"seats": -1}, {"seats": True}, {"unit_price": 29.99}, {"billing_period": "week"}],
)
async def test_a_plan_that_cannot_be(api: Api, key: str, change: dict[str, object]) -> None:
    answer = await api.send("POST", PLANS, key, json={**PLAN, **change})

    assert (answer.status_code, await _items(api, key, PLANS)) == (422, [])
