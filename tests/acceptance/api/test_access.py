"""Who gets past the gate, for every route there is: a route without an entry here fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from fastapi.routing import APIRoute

from convergence.api.gate import Access
from convergence.api.routers import ROUTERS, health

from .conftest import ROOT_KEY, Api, open_api

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOT_JSON = b'{"sql": '
ROUTES = {
    "bootstrap": "POST /admin/bootstrap",
    "rotate_keys": "POST /admin/keys/rotate",
    "dryrun_organization": "POST /organizations/dryrun",
    "onboard_organization": "POST /organizations/onboard",
    "show_organization": "GET /organizations/acme",
    "list_api_keys": "GET /organizations/acme/api-keys",
    "create_api_key": "POST /organizations/acme/api-keys",
    "revoke_api_key": "DELETE /organizations/acme/api-keys/nothing",
    "list_integrations": "GET /integrations/acme",
    "show_integration": "GET /integrations/acme/openai",
    "setup_integration": "POST /integrations/acme/openai/setup",
    "validate_integration": "POST /integrations/acme/openai/validate",
    "remove_integration": "DELETE /integrations/acme/openai",
    "list_prices": "GET /integrations/acme/openai/pricing",
    "create_price": "POST /integrations/acme/openai/pricing",
    "update_price": "PUT /integrations/acme/openai/pricing/gpt-5",
    "delete_price": "DELETE /integrations/acme/openai/pricing/gpt-5",
    "reset_prices": "POST /integrations/acme/openai/pricing/reset",
    "sync_prices": "POST /integrations/acme/openai/pricing/sync",
    "list_subscriptions": "GET /integrations/acme/openai/subscriptions",
    "create_subscription": "POST /integrations/acme/openai/subscriptions",
    "update_subscription": "PUT /integrations/acme/openai/subscriptions/plus",
    "delete_subscription": "DELETE /integrations/acme/openai/subscriptions/plus",
    "reset_subscriptions": "POST /integrations/acme/openai/subscriptions/reset",
    "list_pipelines": "GET /pipelines",
    "list_gaps": "GET /pipelines/gaps/acme",
    "run_domain": "POST /pipelines/run/acme/openai/usage_cost",
    "run_pipeline": "POST /pipelines/run/acme/openai/usage/cost",
    "run_pipeline_by_id": "POST /pipelines/run/openai-usage-cost",
    "backfill_domain": "POST /pipelines/backfill/acme/openai/usage_cost",
    "backfill_pipeline": "POST /pipelines/backfill/acme/openai/usage/cost",
    "backfill_pipeline_by_id": "POST /pipelines/backfill/openai-usage-cost",
    "list_runs": "GET /pipelines/runs",
    "show_run": "GET /pipelines/runs/run_0",
    "cancel_run": "POST /pipelines/runs/run_0/cancel",
    "tick": "POST /scheduler/tick",
    "take_run": "POST /tasks/run",
    "take_sweep": "POST /tasks/sweep",
    "take_tick": "POST /tasks/tick",
    "export_focus": "GET /export/acme/focus",
    "query": "POST /query/acme",
    "load_file": "POST /files/acme/deepseek",
    "show_costs": "GET /costs/acme",
    "show_identity": "GET /identity/acme",
    "preview_identity": "POST /identity/acme/preview",
    "list_unmapped": "GET /identity/acme/unmapped",
    "show_reconciliation": "GET /reconciliation/acme",
    "rerate_costs": "POST /costs/acme/rerate",
}


def _gated() -> Iterator[APIRoute]:
    for router in ROUTERS:
        if router is not health.router:
            yield from (route for route in router.routes if isinstance(route, APIRoute))


GATED = {route.name: route for route in _gated()}
ACCESS = {name: Access.declared(route.dependencies) for name, route in GATED.items()}
OF_ORG = [name for name, access in ACCESS.items() if access.takes_org_key]
OF_ROOT = [name for name, access in ACCESS.items() if access.takes_root_key]
WITH_ORG_IN_PATH = [name for name in OF_ORG if "{org}" in GATED[name].path]
WITH_SCOPE = [name for name, access in ACCESS.items() if access.scopes]
OF_QUEUE = [name for name, access in ACCESS.items() if access.takes_task_token]
WITH_BODY = [name for name, route in GATED.items() if route.body_field is not None and name not in OF_QUEUE]


@dataclass
class World:
    """Two organizations and keys of every kind."""

    api: Api
    full: str
    other: str
    revoked: str
    reader: str  # costs:read alone
    keeper: str  # keys:write alone

    async def call(self, name: str, content: bytes | None = None, **headers: str) -> Any:
        method, path = ROUTES[name].split(" ")
        if content is not None:
            headers["Content-Type"] = "application/json"
        return await self.api.send(method, path, headers=headers, content=content)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder: Path = tmp_path_factory.mktemp("access")
    async with open_api(folder) as api:
        await api.bootstrap()
        full, other = await api.onboard("acme"), await api.onboard("rival")
        made: dict[str, Any] = {}
        for name, scopes in {"revoked": None, "reader": ["costs:read"], "keeper": ["keys:write"]}.items():
            body = {"name": name, "scopes": scopes}
            made[name] = (await api.send("POST", "/organizations/acme/api-keys", full, json=body)).json()
        gone = made["revoked"]["api_key_id"]
        (await api.send("DELETE", f"/organizations/acme/api-keys/{gone}", full)).raise_for_status()
        yield World(api, full, other, **{name: key["api_key"] for name, key in made.items()})


async def test_every_route_has_an_entry() -> None:
    assert set(ROUTES) == set(GATED)


@pytest.mark.parametrize("name", ROUTES)
async def test_an_anonymous_caller_is_refused_before_the_body_is_read(world: World, name: str) -> None:
    answer = await world.call(name, NOT_JSON)

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("ApiKey")


@pytest.mark.parametrize("name", OF_ORG)
@pytest.mark.parametrize("key", ["", "x", "é" * 9, "acme_api_" + "0" * 61, "../../etc/passwd", "a" * 5000])
async def test_a_wrong_organization_key_is_refused(world: World, name: str, key: str) -> None:
    answer = await world.api.client.request(
        *_target(name), headers=[(b"X-API-Key", key.encode()), (b"Content-Type", b"application/json")], content=NOT_JSON
    )

    assert answer.status_code == 401


@pytest.mark.parametrize("name", OF_ROOT)
@pytest.mark.parametrize("key", ["", "x", ROOT_KEY[:-1], ROOT_KEY + "0", ROOT_KEY.upper(), "é"])
async def test_a_wrong_root_key_is_refused(world: World, name: str, key: str) -> None:
    answer = await world.api.client.request(
        *_target(name),
        headers=[(b"X-CA-Root-Key", key.encode()), (b"X-API-Key", world.full.encode())],
        content=NOT_JSON,
    )

    assert answer.status_code == 401


@pytest.mark.parametrize("name", OF_ORG)
async def test_the_root_key_in_the_place_of_an_organization_key_is_refused(world: World, name: str) -> None:
    answer = await world.call(name, NOT_JSON, **{"X-API-Key": ROOT_KEY})

    assert answer.status_code == 401


@pytest.mark.parametrize("name", [name for name in OF_ORG if name not in OF_ROOT])
async def test_the_root_key_opens_no_route_of_an_organization(world: World, name: str) -> None:
    answer = await world.call(name, NOT_JSON, **{"X-CA-Root-Key": ROOT_KEY})

    assert answer.status_code == 401


@pytest.mark.parametrize("name", [name for name in OF_ROOT if name not in OF_ORG])
async def test_an_organization_key_opens_no_route_of_the_operator(world: World, name: str) -> None:
    answers = [await world.call(name, NOT_JSON, **{header: world.full}) for header in ("X-API-Key", "X-CA-Root-Key")]

    assert [answer.status_code for answer in answers] == [401, 401]


@pytest.mark.parametrize("name", OF_QUEUE)
async def test_no_key_opens_a_route_of_the_queue(world: World, name: str) -> None:
    answer = await world.call(name, NOT_JSON, **{"X-API-Key": world.full, "X-CA-Root-Key": ROOT_KEY})

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize("name", OF_QUEUE)
async def test_without_a_queue_that_delivers_there_is_nowhere_to_deliver(world: World, name: str) -> None:
    answer = await world.call(name, NOT_JSON, Authorization="Bearer a.b.c")

    assert (answer.status_code, answer.json()["code"]) == (404, "no_deliveries")


@pytest.mark.parametrize("name", OF_ORG)
async def test_a_revoked_key_is_refused(world: World, name: str) -> None:
    answer = await world.call(name, NOT_JSON, **{"X-API-Key": world.revoked})

    assert answer.status_code == 401


@pytest.mark.parametrize("name", OF_ORG)
async def test_a_key_in_the_query_or_a_cookie_is_no_key(world: World, name: str) -> None:
    method, url = _target(name)
    answer = await world.api.client.request(
        method,
        url,
        params={"X-API-Key": world.full, "api_key": world.full},
        headers={"Cookie": f"X-API-Key={world.full}"},
    )

    assert answer.status_code == 401
    assert world.full not in answer.text


@pytest.mark.parametrize("name", WITH_ORG_IN_PATH)
async def test_another_organization_is_not_there(world: World, name: str) -> None:
    foreign = await world.call(name, NOT_JSON, **{"X-API-Key": world.other})
    absent = await world.api.client.request(
        *_target(name, "nobody"),
        headers={"X-API-Key": world.other, "Content-Type": "application/json"},
        content=NOT_JSON,
    )

    assert (foreign.status_code, absent.status_code) == (404, 404)
    assert _said(foreign.json(), "acme") == _said(absent.json(), "nobody")


@pytest.mark.parametrize("name", WITH_SCOPE)
async def test_a_key_without_the_scope_is_refused_before_the_body_is_read(world: World, name: str) -> None:
    key = world.keeper if ACCESS[name].scopes == {"costs:read"} else world.reader
    answer = await world.call(name, NOT_JSON, **{"X-API-Key": key})

    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
    assert next(iter(ACCESS[name].scopes)) in answer.json()["detail"]


@pytest.mark.parametrize("name", WITH_BODY)
@pytest.mark.parametrize(
    "content",
    [
        NOT_JSON,
        b"[]",
        b'"text"',
        b"1",
        b'{"unheard_of": 1}',
        b'{"date": NaN}',
        b'{"max_rows": 1e999}',
        b"\xff\xfe{\x00}\x00",
        b'{"name": "\xff"}',
        b'{"name": "\\ud800"}',
        b'{"name": "a", "name": "b"}',
        b"[" * 100_000,
        b'{"max_rows": ' + b"9" * 5000 + b"}",
    ],
    ids=[
        *("cut", "list", "text", "number", "unknown-field", "nan", "infinite", "utf-16", "not-utf-8", "surrogate"),
        *("twice", "deep", "huge-number"),
    ],
)
async def test_a_bad_body_is_refused(world: World, name: str, content: bytes) -> None:
    key = {"X-API-Key": world.full} if name in OF_ORG else {"X-CA-Root-Key": ROOT_KEY}
    answer = await world.call(name, content, **key)

    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


@pytest.mark.parametrize("name", WITH_BODY)
async def test_a_body_that_is_not_declared_as_json_is_refused(world: World, name: str) -> None:
    key = {"X-API-Key": world.full} if name in OF_ORG else {"X-CA-Root-Key": ROOT_KEY}
    answer = await world.api.client.request(
        *_target(name), headers={**key, "Content-Type": "text/plain"}, content=b"{}"
    )

    assert answer.status_code == 422
    assert "Content-Type" in answer.json()["hint"]


@pytest.mark.parametrize("name", ROUTES)
async def test_every_route_declares_its_key_and_itself(world: World, name: str) -> None:
    route = GATED[name]
    operation = world.api.app.openapi()["paths"][route.path.replace(":path", "")][next(iter(route.methods)).lower()]

    assert operation["operationId"] == name
    assert operation["security"]
    assert operation["description"]


async def test_no_path_outside_the_table_answers(world: World) -> None:
    answers = [
        await world.api.client.request(method, path, headers={"X-API-Key": world.full})
        for method, path in (
            ("GET", "/api/v1/export/acme"),
            ("PATCH", "/api/v1/costs/acme"),
            ("GET", "/"),
            ("GET", "/api"),
        )
    ]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (404, "route_not_found"),
        (405, "method_not_allowed"),
        (404, "route_not_found"),
        (404, "route_not_found"),
    ]
    assert answers[1].headers["Allow"] == "GET"


def _target(name: str, org: str = "acme") -> tuple[str, str]:
    method, path = ROUTES[name].split(" ")
    return method, "/api/v1" + path.replace("/acme", f"/{org}", 1)


def _said(problem: dict[str, Any], org: str) -> dict[str, str]:
    return {name: str(value).replace(org, "ORG") for name, value in problem.items() if name != "request_id"}
