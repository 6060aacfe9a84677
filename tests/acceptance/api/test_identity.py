"""A mapping over HTTP: previewed, loaded from a file and from a sheet, and what it leaves open."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from convergence.simulator import GoogleSheetsWorld, SimulatorServer

from .conftest import ADMIN_KEY, Api, days, open_api

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHEETS_KEY = "AIzaSyAcceptance0123456789abcdefghijklm"


@dataclass
class Company:
    api: Api
    key: str
    other: str
    world: GoogleSheetsWorld
    truth: dict[str, Any]

    async def get(self, path: str, **params: Any) -> Any:
        return await self.api.send("GET", path, self.key, params=params)

    async def load(self, csv: str) -> Any:
        form = {"files": {"file": ("people.csv", csv.encode(), "text/csv")}, "data": {"kind": "identity"}}
        accepted = await self.api.send("POST", "/files/acme/identity", self.key, **form)
        assert accepted.status_code == 202, accepted.text
        return await self.api.wait_for(self.key, accepted.json()["pipeline_logging_id"])

    async def teams(self) -> dict[str | None, Decimal]:
        answer = await self.get("/costs/acme", **days(), granularity="total", group_by="team")
        return {row["team"]: Decimal(row["billed_cost"]) for row in answer.json()["rows"]}

    async def person(self) -> str:
        answer = await self.get("/costs/acme", **days(), granularity="total", group_by="person")
        return next(row["person"] for row in answer.json()["rows"] if row["person"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def company(tmp_path_factory: pytest.TempPathFactory, simulator: SimulatorServer) -> AsyncIterator[Company]:
    world = GoogleSheetsWorld(is_public=True)
    simulator.simulator.add_account(SHEETS_KEY, world, provider="google_sheets")
    urls = {f"{name.upper()}_BASE_URL": simulator.base_urls[name] for name in ("openai", "google_sheets")}
    async with open_api(tmp_path_factory.mktemp("identity"), work=True, **urls) as api:
        await api.bootstrap()
        key, other = await api.onboard("acme", "SCALE"), await api.onboard("rival")
        body = {"credential": ADMIN_KEY}
        (await api.send("POST", "/integrations/acme/openai/setup", key, json=body)).raise_for_status()
        accepted = await api.send("POST", "/pipelines/run/openai-usage-cost", key, json=days())
        run = await api.wait_for(key, accepted.json()["pipeline_logging_id"])
        assert run["status"] == "COMPLETED", run["error_message"]
        yield Company(api, key, other, world, simulator.simulator.truth(ADMIN_KEY))


async def test_a_mapping_is_previewed_then_loaded_and_loaded_again_after_another(company: Company) -> None:
    person, total = await company.person(), Decimal(company.truth["cost"]["total"])
    csv = f"person,team,cost_center\n{person},Search,100\nnobody,Search,\n"
    shown = await company.api.send("POST", "/identity/acme/preview", company.key, json={"csv": csv, **days()})
    answer = shown.json()
    assert (shown.status_code, answer["rows"], [error["line"] for error in answer["errors"]]) == (200, 1, [3])
    assert [(move["before"]["team"], move["after"]["team"]) for move in answer["moves"]] == [(None, "Search")]
    assert await company.teams() == {None: total}

    moved = Decimal(answer["totals"][0]["moved_cost"])
    for text, expected in (
        (csv, {"Search": moved, None: total - moved}),
        (csv.replace("Search", "Growth"), {"Growth": moved, None: total - moved}),
        (csv, {"Search": moved, None: total - moved}),
    ):
        run = await company.load(text)
        assert run["status"] == "COMPLETED", run["error_message"]
        assert await company.teams() == expected


async def test_the_mapping_and_its_errors_are_shown(company: Company) -> None:
    person = await company.person()
    await company.load(f"person,team\n{person},Search\nnobody,sk-proj-{'a1B2' * 12}\n")
    answer = (await company.get("/identity/acme")).json()
    assert [(row["person"], row["team"], row["source"]) for row in answer["items"]] == [(person, "Search", "csv")]
    assert [(error["line"], error["column"], error["raw"]["team"]) for error in answer["errors"]] == [
        (3, "team", "sk-proj-[redacted]")
    ]
    empty = await company.load("person,team\n")
    assert (empty["status"], "last good mapping" in empty["error_message"]) == ("FAILED", True)
    assert len((await company.get("/identity/acme")).json()["items"]) == 1


async def test_the_queue_and_the_teams_add_up(company: Company) -> None:
    answer = (await company.get("/identity/acme/unmapped", **days())).json()
    amounts = [Decimal(row["billed_cost"]) for row in answer["items"]]
    assert amounts == sorted(amounts, reverse=True)
    assert sum(amounts) == Decimal(answer["totals"][0]["unmapped_cost"]) == (await company.teams())[None]
    first = (await company.get("/identity/acme/unmapped", **days(), limit=1)).json()
    assert first["items"] == answer["items"][:1]


async def test_a_sheet_is_set_up_and_read(company: Company) -> None:
    setup = "/integrations/acme/google_sheets/setup"
    refused = await company.api.send("POST", setup, company.key, json={"credential": SHEETS_KEY})
    assert (refused.status_code, refused.json()["code"]) == (400, "credential_invalid")
    place = {"credential": SHEETS_KEY, "metadata": {"spreadsheet_id": company.world.spreadsheet_id}}
    made = (await company.api.send("POST", setup, company.key, json=place)).json()
    assert (made["validation_status"], made["pricing_initialized"]) == ("VALID", False)

    accepted = await company.api.send("POST", "/pipelines/run/acme/google_sheets/identity", company.key)
    run = await company.api.wait_for(company.key, accepted.json()["pipeline_logging_id"])
    assert run["status"] == "COMPLETED", run["error_message"]
    items = (await company.get("/identity/acme")).json()["items"]
    assert {row["person"]: row["team"] for row in items} == company.world.truth(
        company.api.app.state.platform.clock.now()
    )["teams"]
    assert sum((await company.teams()).values()) == Decimal(company.truth["cost"]["total"])


async def test_a_key_is_found_by_the_text_that_its_provider_shows(company: Company) -> None:
    sql = (
        "SELECT k.masked_key FROM openai_cost_daily AS c JOIN dim_api_keys AS k ON k.api_key_id = c.api_key_id LIMIT 1"
    )
    asked = await company.api.send("POST", "/query/acme", company.key, json={"sql": sql})
    line = {"provider": "openai", "masked_key": asked.json()["rows"][0]["masked_key"], "team": "Found"}
    shown = await company.api.send("POST", "/identity/acme/preview", company.key, json={"rows": [line], **days()})
    assert "Found" in {move["after"]["team"] for move in shown.json()["moves"]}, shown.text


@pytest.mark.parametrize(
    "body",
    [{}, {"csv": "", "rows": []}, {"csv": "nonsense"}, {"rows": []}, {"rows": [{"team": "A"}]}, {"csv": "\0"}],
)
async def test_a_preview_of_nothing_is_refused(company: Company, body: dict[str, Any]) -> None:
    answer = await company.api.send("POST", "/identity/acme/preview", company.key, json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


async def test_another_organization_sees_nothing_of_it(company: Company) -> None:
    own = (await company.api.send("GET", "/identity/rival", company.other)).json()
    queue = (await company.api.send("GET", "/identity/rival/unmapped", company.other)).json()
    foreign = await company.api.send("GET", "/identity/acme", company.other)
    assert (own["items"], own["errors"], queue["items"], foreign.status_code) == ([], [], [], 404)
