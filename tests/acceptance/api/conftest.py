"""The application in this process, over real files and a simulated provider on a real port."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from bigquery_emulator import BigQueryEmulator
from fastapi import FastAPI

from convergence.api.app import create_app
from convergence.settings import load_settings
from convergence.simulator import OpenAIWorld, Simulator, SimulatorServer

ROOT_KEY = "root-key-of-the-tests-0123456789abcdef"
ADMIN_KEY = "sk-admin-acceptance-0123456789abcdef"
TODAY = datetime.now(UTC).date()
FIRST, LAST = TODAY - timedelta(days=3), TODAY - timedelta(days=1)
ROOT = {"X-CA-Root-Key": ROOT_KEY}
# BigQuery's emulator takes tens of seconds for a run: the main job goes through it every time, the others before a
# release.
WAREHOUSES = ("duckdb", pytest.param("bigquery", marks=pytest.mark.slow))


@dataclass
class Api:
    """A client of the application, and the application."""

    client: httpx2.AsyncClient
    app: FastAPI

    async def send(self, method: str, path: str, key: str | None = None, **arguments: Any) -> httpx2.Response:
        """A request below /api/v1 with an organization's key."""
        headers = {**({"X-API-Key": key} if key else {}), **arguments.pop("headers", {})}
        return await self.client.request(method, f"/api/v1{path}", headers=headers, **arguments)

    async def bootstrap(self) -> None:
        (await self.client.post("/api/v1/admin/bootstrap", headers=ROOT)).raise_for_status()

    async def onboard(self, org_slug: str, plan: str = "STARTER") -> str:
        """The key of a new organization."""
        body = {
            "org_slug": org_slug,
            "company_name": org_slug.title(),
            "admin_email": f"admin@{org_slug}.example",
            "subscription_plan": plan,
        }
        answer = await self.client.post("/api/v1/organizations/onboard", headers=ROOT, json=body)
        answer.raise_for_status()
        key: str = answer.json()["api_key"]
        return key

    async def wait_for(self, key: str, run_id: str) -> dict[str, Any]:
        """The run once it has ended."""
        async with asyncio.timeout(240):
            while True:
                run: dict[str, Any] = (await self.send("GET", f"/pipelines/runs/{run_id}", key)).json()
                if run["status"] not in {"PENDING", "RUNNING"}:
                    return run
                await asyncio.sleep(0.05)


@asynccontextmanager
async def open_api(folder: Path, *, work: bool = False, **variables: str) -> AsyncIterator[Api]:
    """The application with its data in `folder` and these environment variables."""
    environ = {"DATA_DIR": str(folder), "CA_ROOT_API_KEY": ROOT_KEY, "RATE_LIMIT_ENABLED": "false", **variables}
    app = create_app(load_settings(environ), work=work, schedule=False)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=app), base_url="http://api.test", timeout=60, trust_env=False
        ) as client,
    ):
        yield Api(client, app)


@pytest.fixture(scope="session")
def bootstrapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a platform that is set up and has no organization: copied, they spare each test its own set-up."""
    folder = tmp_path_factory.mktemp("bootstrapped")

    async def bootstrap() -> None:
        async with open_api(folder) as opened:
            await opened.bootstrap()

    asyncio.run(bootstrap())
    return folder


@pytest.fixture
def folder(tmp_path: Path, bootstrapped: Path) -> Path:
    shutil.copytree(bootstrapped, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
async def api(folder: Path) -> AsyncIterator[Api]:
    """A platform that is set up and has no organization."""
    async with open_api(folder) as opened:
        yield opened


@pytest.fixture(scope="session")
def simulator() -> Iterator[SimulatorServer]:
    """OpenAI, as it was over the last three days."""
    simulated = Simulator()
    simulated.add_account(ADMIN_KEY, OpenAIWorld(end_day=TODAY, days=3, rows_per_day=20, steady=True))
    with SimulatorServer(simulated) as server:
        yield server


@pytest.fixture(params=WAREHOUSES)
async def working_api(request: pytest.FixtureRequest, folder: Path, simulator: SimulatorServer) -> AsyncIterator[Api]:
    """The same with a worker and a provider, in each warehouse."""
    variables = {"OPENAI_BASE_URL": simulator.base_urls["openai"]}
    if request.param == "bigquery":
        variables |= on_bigquery(request.getfixturevalue("bigquery_emulator"))
    async with open_api(folder, work=True, **variables) as opened:
        await opened.bootstrap()
        yield opened


def on_bigquery(emulator: BigQueryEmulator) -> dict[str, str]:
    """The settings of a warehouse that nobody else uses."""
    return {
        "WAREHOUSE": "bigquery",
        "GCP_PROJECT_ID": emulator.project(),
        "BIGQUERY_API_ENDPOINT": emulator.endpoint,
    }


def days(first: date = FIRST, last: date = LAST) -> dict[str, str]:
    return {"start_date": first.isoformat(), "end_date": last.isoformat()}
