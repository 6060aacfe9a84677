from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from convergence.simulator import SimulatorServer

from .conftest import ADMIN_KEY, FIRST, LAST, TODAY, Api, days, open_api

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Spender:
    api: Api
    key: str
    truth: dict[str, Any]

    async def costs(self, **params: Any) -> Any:
        return await self.api.send("GET", "/costs/acme", self.key, params=params)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def spender(tmp_path_factory: pytest.TempPathFactory, simulator: SimulatorServer) -> AsyncIterator[Spender]:
    folder = tmp_path_factory.mktemp("costs")
    async with open_api(folder, work=True, OPENAI_BASE_URL=simulator.base_urls["openai"]) as api:
        await api.bootstrap()
        key = await api.onboard("acme")
        (
            await api.send("POST", "/integrations/acme/openai/setup", key, json={"credential": ADMIN_KEY})
        ).raise_for_status()
        accepted = await api.send("POST", "/pipelines/run/openai-usage-cost", key, json=days())
        run = await api.wait_for(key, accepted.json()["pipeline_logging_id"])
        assert run["status"] == "COMPLETED", run["error_message"]
        yield Spender(api, key, simulator.simulator.truth(ADMIN_KEY))


def _sum(rows: list[dict[str, Any]], name: str = "billed_cost") -> Decimal:
    return sum((Decimal(row[name]) for row in rows), Decimal(0))


async def test_the_total_is_the_providers_own(spender: Spender) -> None:
    answer = (await spender.costs(**days(), granularity="total")).json()

    assert Decimal(answer["total"]["billed_cost"]) == Decimal(spender.truth["cost"]["total"])
    assert answer["total"]["currency"] == "USD"
    assert (answer["start_date"], answer["end_date"]) == (FIRST.isoformat(), LAST.isoformat())


@pytest.mark.parametrize("granularity", ["day", "month", "total"])
@pytest.mark.parametrize(
    "group_by",
    [
        "",
        "provider",
        "service",
        "model",
        "team",
        "cost_center",
        "person",
        "project",
        "api_key",
        "user",
        "token_class",
        "line_item",
        "provider,model,person",
    ],
)
async def test_every_cut_adds_up_to_the_same(spender: Spender, granularity: str, group_by: str) -> None:
    answer = (await spender.costs(**days(), granularity=granularity, group_by=group_by)).json()
    keys = [name for name in group_by.split(",") if name]

    assert _sum(answer["rows"]) == Decimal(spender.truth["cost"]["total"])
    assert all(set(keys) <= set(row) for row in answer["rows"])
    assert all(isinstance(row["billed_cost"], str) for row in answer["rows"])


async def test_a_day_is_the_providers_own(spender: Spender) -> None:
    answer = (await spender.costs(**days(), granularity="day")).json()

    assert {row["day"]: Decimal(row["billed_cost"]) for row in answer["rows"]} == {
        day: Decimal(amount) for day, amount in spender.truth["cost"]["by_day"].items()
    }


async def test_what_is_unattributed_has_a_null_key(spender: Spender) -> None:
    answer = (await spender.costs(**days(), granularity="total", group_by="team")).json()

    assert [row["team"] for row in answer["rows"]] == [None]


async def test_without_days_it_is_the_last_thirty(spender: Spender) -> None:
    answer = (await spender.costs()).json()

    assert (answer["start_date"], answer["end_date"]) == ((TODAY - timedelta(days=29)).isoformat(), TODAY.isoformat())
    assert Decimal(answer["total"]["billed_cost"]) == Decimal(spender.truth["cost"]["total"])


async def test_days_and_providers_without_costs(spender: Spender) -> None:
    before = FIRST - timedelta(days=30)
    answers = [
        (await spender.costs(**days(before, before))).json(),
        (await spender.costs(**days(), providers="anthropic")).json(),
    ]

    for answer in answers:
        assert (answer["rows"], answer["total"]) == ([], {"billed_cost": "0", "list_cost": "0", "currency": "USD"})


@pytest.mark.parametrize(
    "params",
    [
        {"start_date": FIRST.isoformat()},
        {"end_date": LAST.isoformat()},
        days(LAST, FIRST),
        days(LAST - timedelta(days=1100), LAST),
        {"start_date": "last week", "end_date": LAST.isoformat()},
        {"granularity": "hour"},
        {"group_by": "colour"},
        {"group_by": "model,,team"},
        {"group_by": "model; DROP TABLE x"},
        {"providers": "acme"},
        {"start": FIRST.isoformat()},
    ],
)
async def test_a_question_that_cannot_be(spender: Spender, params: dict[str, str]) -> None:
    answer = await spender.costs(**params)

    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
