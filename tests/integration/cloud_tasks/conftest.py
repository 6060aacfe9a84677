"""The application behind a real port, and Cloud Tasks that delivers to it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from google_fakes.identity import FakeIssuer
from google_fakes.tasks import QUEUE, FakeTasks, Limits, serving_tasks
from served import free_port

from convergence.api.app import create_app
from convergence.api.server import Server
from convergence.bootstrap import Platform, open_platform
from convergence.kit.clock import ManualClock, SystemClock
from convergence.organizations.models import OnboardingRequest
from convergence.pipelines.models import RunRecord
from convergence.pipelines.service import RunRequest
from convergence.queue.cloud_tasks import CloudTasksQueue, Target
from convergence.settings import load_settings

CONFIGS = Path(__file__).parents[3] / "configs"
ACCOUNT = "tasks@fake.iam.gserviceaccount.com"


@dataclass
class Site:
    """What serves, and what delivers to it."""

    platform: Platform
    url: str
    tasks: FakeTasks
    issuer: FakeIssuer
    folder: Path

    async def accept(self, name: str = "work", **request: Any) -> RunRecord:
        pipeline = self.platform.pipelines.find(f"trial-{name}")
        parameters = {"journal": str(self.folder / "journal.txt")}
        return await self.platform.pipelines.run(
            self.platform.scope.org("acme"), RunRequest(pipeline, parameters=parameters, **request)
        )

    async def finish(self, run: RunRecord) -> RunRecord:
        async with asyncio.timeout(120):
            while True:
                current = await self.platform.pipelines.get(self.platform.scope.org("acme"), run.run_id)
                if current.status.is_final:
                    return current
                await asyncio.sleep(0.02)

    async def settle(self) -> list[int]:
        """The statuses of all deliveries, when no task is left."""
        async with asyncio.timeout(120):
            while self.tasks.tasks:
                await asyncio.sleep(0.02)
        return self.tasks.statuses()

    async def post(self, path: str, token: str | None = None, **arguments: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        async with httpx2.AsyncClient(base_url=self.url, timeout=30, trust_env=False) as client:
            return await client.post(f"/api/v1/tasks/{path}", headers=headers, **arguments)

    def sign(self, **claims: Any) -> str:
        return self.issuer.sign(self.url, ACCOUNT, **claims)

    def lines(self) -> list[str]:
        journal = self.folder / "journal.txt"
        return journal.read_text().splitlines() if journal.exists() else []


class Builder:
    """Writes pipelines, and opens a site over them."""

    def __init__(self, folder: Path, data: Path, issuer: FakeIssuer) -> None:
        self.folder = folder
        self.issuer = issuer
        shutil.copytree(data, folder / "data")
        for part in ("platform", "identity"):
            shutil.copytree(CONFIGS / part, folder / "configs" / part)
        (folder / "configs" / "trial").mkdir()

    def write_pipeline(self, *steps: str, name: str = "work", head: str = "") -> None:
        lines = "".join(f"  - {{{step}}}\n" for step in steps)
        path = self.folder / "configs" / "trial" / f"{name}.yml"
        path.write_text(f"pipeline_id: trial-{name}\n{head}steps:\n{lines}")

    @asynccontextmanager
    async def open(
        self,
        limits: Limits | None = None,
        *,
        copies: int = 1,
        deadline: timedelta = timedelta(minutes=30),
        clock: ManualClock | None = None,
        **variables: str,
    ) -> AsyncIterator[Site]:
        port = free_port()
        tasks = FakeTasks(self.issuer, limits, copies=copies)
        url = f"http://127.0.0.1:{port}"
        with serving_tasks(tasks) as address:
            variables |= {
                "DATA_DIR": str(self.folder / "data"),
                "CONFIGS_DIR": str(self.folder / "configs"),
                "QUEUE_BACKEND": "cloud_tasks",
                "CLOUD_TASKS_QUEUE": QUEUE,
                "CLOUD_TASKS_TARGET_URL": url,
                "CLOUD_TASKS_SERVICE_ACCOUNT": ACCOUNT,
                "CLOUD_TASKS_API_ENDPOINT": address,
            }
            environ = {"RETRY_BACKOFF_SECONDS": "0", "LEASE_SECONDS": "5", "HEARTBEAT_SECONDS": "1", **variables}
            settings = load_settings(environ)
            queue = CloudTasksQueue(
                Target(QUEUE, url, ACCOUNT, url, deadline),
                clock=clock or SystemClock(),
                endpoint=address,
                certificates_url=self.issuer.certificates_url,
            )
            app = create_app(
                settings,
                schedule=False,
                open_with=lambda known: open_platform(known, processors="trial_processors", queue=queue),
            )
            async with _serving(app, port):
                yield Site(app.state.platform, url, tasks, self.issuer, self.folder)


@asynccontextmanager
async def _serving(app: Any, port: int) -> AsyncIterator[None]:
    config = uvicorn.Config(app, host="127.0.0.1", port=port, lifespan="on", ws="none", log_config=None)
    server = Server(config)
    task = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(120):
            while not server.started and not task.done():
                await asyncio.sleep(0.01)
        if task.done():
            task.result()
        yield
    finally:
        server.should_exit = True
        await task


@pytest.fixture(scope="session")
def issuer() -> Iterator[FakeIssuer]:
    with FakeIssuer().serving() as served:
        yield served


@pytest.fixture(scope="session")
def onboarded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a platform with one organization: copied, they spare each test its own set-up."""
    folder = tmp_path_factory.mktemp("onboarded")

    async def onboard() -> None:
        async with open_platform(load_settings({"DATA_DIR": str(folder)})) as platform:
            await platform.organizations.bootstrap(force_recreate_dataset=False)
            await platform.organizations.onboard(OnboardingRequest("acme", "Acme", "a@example.com", "SCALE"))

    asyncio.run(onboard())
    return folder


@pytest.fixture
def builder(tmp_path: Path, onboarded: Path, issuer: FakeIssuer) -> Builder:
    return Builder(tmp_path, onboarded, issuer)


@pytest.fixture
def clock() -> ManualClock:
    """The queue's alone."""
    return ManualClock(datetime.now(UTC))
