"""What only the process that embeds the application, or production, sees."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from convergence.api.app import create_app
from convergence.settings import load_settings

from .conftest import Api, open_api

OPERATOR_KEY = "operator-key-of-the-tests-0123456789"


async def test_the_operator_key_acts_for_any_organization(folder: Path) -> None:
    settings = load_settings({"DATA_DIR": str(folder)})
    app = create_app(settings, work=False, schedule=False, operator_key=OPERATOR_KEY)
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://api.test", trust_env=False) as client:
            body = {"org_slug": "acme", "company_name": "Acme", "admin_email": "ann@acme.example"}
            root = {"X-Operator-Key": OPERATOR_KEY}
            made = await client.post("/api/v1/organizations/onboard", headers=root, json=body)
            answers = [
                await client.get("/api/v1/pipelines/runs", headers={"X-Operator-Key": key, "X-Operator-Org": org})
                for key, org in ((OPERATOR_KEY, "acme"), (OPERATOR_KEY, "nobody"), ("guess", "acme"))
            ]

    assert made.status_code == 201
    assert [answer.status_code for answer in answers] == [200, 404, 401]


async def test_a_server_takes_no_operator_key(api: Api) -> None:
    await api.onboard("acme")
    headers = {"X-Operator-Key": "", "X-Operator-Org": "acme"}

    assert (await api.send("GET", "/pipelines/runs", headers=headers)).status_code == 401


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
async def test_production_shows_no_docs(path: str) -> None:
    app = create_app(load_settings({"ENVIRONMENT": "production"}))
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="http://api.test", trust_env=False
    ) as client:
        answer = await client.get(path)

    assert (answer.status_code, answer.json()["code"]) == (404, "route_not_found")


async def test_disable_auth_is_not_heard_in_production(folder: Path) -> None:
    """The start refuses it already; the gate does not rely on that."""
    async with open_api(folder, DISABLE_AUTH="true", ENVIRONMENT="production", DEFAULT_TENANT_ID="acme") as api:
        answer = await api.send("GET", "/pipelines/runs")

    assert answer.status_code == 401
