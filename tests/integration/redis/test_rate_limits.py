"""Requests to two processes of one deployment, counted together."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from redis_server import LocalRedis

from convergence.api.app import create_app
from convergence.api.throttle import Throttle
from convergence.settings import load_settings

ROOT = {"X-CA-Root-Key": "root-key-of-the-tests-0123456789abcdef"}
LIMIT = 5


@asynccontextmanager
async def open_client(folder: Path, **variables: str) -> AsyncIterator[httpx2.AsyncClient]:
    settings = load_settings({"DATA_DIR": str(folder), "CA_ROOT_API_KEY": ROOT["X-CA-Root-Key"], **variables})
    app = create_app(settings, work=False, schedule=False)
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://api.test/api/v1", trust_env=False) as client,
    ):
        yield client


@pytest.fixture
async def key(tmp_path: Path) -> str:
    """The key of an organization that two folders know: one of each process."""
    body = {
        "org_slug": "acme",
        "company_name": "Acme",
        "admin_email": "admin@acme.example",
        "subscription_plan": "SCALE",
    }
    async with open_client(tmp_path / "one", RATE_LIMIT_ENABLED="false") as client:
        (await client.post("/admin/bootstrap", headers=ROOT)).raise_for_status()
        answer = await client.post("/organizations/onboard", headers=ROOT, json=body)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    return str(answer.json()["api_key"])


async def send_by_turns(folder: Path, key: str, requests: int, **variables: str) -> list[int]:
    """The statuses of requests that go to one process and the other."""
    limits = {"RATE_LIMIT_REQUESTS_PER_HOUR": str(LIMIT), **variables}
    async with open_client(folder / "one", **limits) as one, open_client(folder / "two", **limits) as two:
        await _avoid_the_turn_of_an_hour()
        return [
            (await (one, two)[number % 2].get("/pipelines", headers={"X-API-Key": key})).status_code
            for number in range(requests)
        ]


async def _avoid_the_turn_of_an_hour() -> None:
    if (left := 3600 - time.time() % 3600) < 5:
        await asyncio.sleep(left)


async def test_over_redis_both_count_the_same_requests(tmp_path: Path, key: str, local_redis: LocalRedis) -> None:
    statuses = await send_by_turns(tmp_path, key, LIMIT + 2, LOCK_BACKEND="redis", REDIS_URL=local_redis.url)

    assert statuses == [200] * LIMIT + [429] * 2
    assert any(name.startswith("convergence:dev:rate") for name in local_redis.names())


async def test_without_redis_each_counts_for_itself(tmp_path: Path, key: str) -> None:
    assert await send_by_turns(tmp_path, key, 2 * LIMIT + 2) == [200] * 2 * LIMIT + [429] * 2


async def test_a_redis_that_went_away_leaves_each_to_itself(local_redis: LocalRedis) -> None:
    limits = {"RATE_LIMIT_REQUESTS_PER_HOUR": str(LIMIT), "LOCK_BACKEND": "redis", "REDIS_URL": local_redis.url}
    await _avoid_the_turn_of_an_hour()
    async with aclosing(Throttle(load_settings(limits))) as throttle:
        before = await throttle.count_organization("acme")
        local_redis.kill()
        after = [await throttle.count_organization("acme") for _ in range(LIMIT + 1)]

    assert before is not None
    assert [allowance.is_exceeded for allowance in after if allowance] == [False] * LIMIT + [True]


async def test_a_redis_that_hangs_holds_up_one_request_only(local_redis: LocalRedis) -> None:
    settings = load_settings({"LOCK_BACKEND": "redis", "REDIS_URL": local_redis.url})
    async with aclosing(Throttle(settings)) as throttle:
        await throttle.count_address("192.0.2.1")
        with local_redis.hanging():
            started = time.monotonic()
            for _ in range(20):
                await throttle.count_address("192.0.2.1")
            seconds = time.monotonic() - started

    assert seconds < 15  # twenty that wait a second each take longer
