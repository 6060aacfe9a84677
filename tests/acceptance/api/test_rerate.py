"""Past days priced anew over HTTP: a run like any other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from convergence.simulator import SimulatorServer

from .conftest import ADMIN_KEY, FIRST, LAST, Api, days, open_api

pytestmark = pytest.mark.asyncio(loop_scope="module")
MODEL = "gpt-5-mini"


@dataclass
class Spender:
    api: Api
    key: str

    async def rerate(self, **body: Any) -> dict[str, Any]:
        """The run's step for OpenAI, and the run beside it."""
        accepted = await self.api.send("POST", "/costs/acme/rerate", self.key, json={**days(), **body})
        assert accepted.status_code == 202, accepted.text
        run = await self.api.wait_for(self.key, accepted.json()["pipeline_logging_id"])
        assert run["status"] == "COMPLETED", run["error_message"]
        steps = {step["step_id"]: step["metadata"] for step in run["steps"]}
        return {"steps": steps, "moved": [step["moved"] for step in steps.values() if step.get("moved")]}

    async def costs(self) -> dict[str, Any]:
        answer = await self.api.send("GET", "/costs/acme", self.key, params={**days(), "granularity": "total"})
        total: dict[str, Any] = answer.json()["total"]
        return total

    async def listed_in_focus(self) -> Decimal:
        body = {"sql": "SELECT SUM(ListCost) AS listed FROM focus_cost_daily"}
        answer = await self.api.send("POST", "/query/acme", self.key, json=body)
        return Decimal(answer.json()["rows"][0]["listed"])

    async def set_price(self, amount: str) -> None:
        path = f"/integrations/acme/openai/pricing/{MODEL}"
        (await self.api.send("PUT", path, self.key, json={"output_per_million": amount})).raise_for_status()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def spender(tmp_path_factory: pytest.TempPathFactory, simulator: SimulatorServer) -> AsyncIterator[Spender]:
    folder = tmp_path_factory.mktemp("rerate")
    async with open_api(folder, work=True, OPENAI_BASE_URL=simulator.base_urls["openai"]) as api:
        await api.bootstrap()
        key = await api.onboard("acme", "SCALE")
        credential = {"credential": ADMIN_KEY}
        (await api.send("POST", "/integrations/acme/openai/setup", key, json=credential)).raise_for_status()
        accepted = await api.send("POST", "/pipelines/run/openai-usage-cost", key, json=days())
        run = await api.wait_for(key, accepted.json()["pipeline_logging_id"])
        assert run["status"] == "COMPLETED", run["error_message"]
        yield Spender(api, key)


async def test_a_rerate_moves_list_cost_and_focus_and_no_bill(spender: Spender) -> None:
    before, focus = await spender.costs(), await spender.listed_in_focus()
    await spender.set_price("200")
    rehearsed = await spender.rerate(dry_run=True)
    untouched = (await spender.costs(), await spender.listed_in_focus())
    done = await spender.rerate(provider="openai")
    after, rebuilt = await spender.costs(), await spender.listed_in_focus()
    again = await spender.rerate()

    ((move,),) = done["moved"]
    moved = Decimal(move["list_cost_after"]) - Decimal(move["list_cost_before"])
    assert untouched == (before, focus)
    assert rehearsed["moved"] == done["moved"]
    assert (move["model"], moved > 0, again["moved"]) == (MODEL, True, [])
    assert Decimal(after["list_cost"]) - Decimal(before["list_cost"]) == moved == rebuilt - focus
    assert after["billed_cost"] == before["billed_cost"]


async def test_a_rerate_writes_no_step_of_a_dry_run(spender: Spender) -> None:
    rehearsed = await spender.rerate(dry_run=True)

    assert {step.get("rehearsed") for step in rehearsed["steps"].values()} == {True}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"provider": "cursor"}, 422),
        ({"provider": "nobody"}, 404),
        ({"end_date": FIRST.replace(year=FIRST.year - 1).isoformat()}, 422),
        ({"end_date": LAST.replace(year=LAST.year + 1).isoformat()}, 422),
        ({"providers": "openai"}, 422),
    ],
)
async def test_a_rerate_that_cannot_be(spender: Spender, change: dict[str, str], status: int) -> None:
    answer = await spender.api.send("POST", "/costs/acme/rerate", spender.key, json={**days(), **change})

    assert answer.status_code == status


async def test_an_organization_that_has_loaded_nothing(spender: Spender) -> None:
    key = await spender.api.onboard("newcomer")
    accepted = await spender.api.send("POST", "/costs/newcomer/rerate", key, json=days())
    run = await spender.api.wait_for(key, accepted.json()["pipeline_logging_id"])

    assert (run["status"], run["error_message"]) == ("COMPLETED", None)
