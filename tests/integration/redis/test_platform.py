"""The whole platform with its state and its queue in Redis, in processes of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from redis_server import LocalRedis
from served import Server, serving

from convergence.settings import load_settings
from convergence.simulator import OpenAIWorld, Simulator, SimulatorServer
from convergence.state import Lease
from convergence.state.redis import RedisStateStore

KEY = "sk-admin-redis-0123456789abcdefghijk"
DAYS = 6
FIRST = date(2026, 10, 1)
PERIOD = {"start_date": FIRST.isoformat(), "end_date": (FIRST + timedelta(days=DAYS - 1)).isoformat()}
LEASE_SECONDS = 5


@pytest.fixture
def simulator() -> Iterator[SimulatorServer]:
    simulated = Simulator(seed=5)
    world = OpenAIWorld(5, end_day=FIRST + timedelta(days=DAYS), days=DAYS, rows_per_day=60)
    simulated.add_account(KEY, world)
    with SimulatorServer(simulated) as server:
        yield server


@pytest.fixture
def server(tmp_path: Path, simulator: SimulatorServer, local_redis: LocalRedis) -> Iterator[Server]:
    with serving(
        tmp_path / "data",
        WAREHOUSE="duckdb",
        LOCK_BACKEND="redis",
        QUEUE_BACKEND="redis",
        REDIS_URL=local_redis.url,
        OPENAI_BASE_URL=simulator.base_urls["openai"],
        LEASE_SECONDS=str(LEASE_SECONDS),
        HEARTBEAT_SECONDS="1",
        RETRY_BACKOFF_SECONDS="0",
    ) as started:
        yield started


@pytest.fixture
def key(server: Server) -> str:
    server.root("/admin/bootstrap")
    key = server.onboard("acme")
    server.post("/integrations/acme/openai/setup", key, {"credential": KEY})
    return key


def start(server: Server, key: str) -> str:
    run: str = server.post("/pipelines/run/acme/openai/usage_cost", key, PERIOD)["pipeline_logging_id"]
    return run


def billed(server: Server, key: str) -> Decimal:
    report = server.get("/costs/acme", key, **PERIOD, granularity="day")
    return sum((Decimal(row["billed_cost"]) for row in report["rows"]), Decimal())


def truth(simulator: SimulatorServer) -> Decimal:
    return sum(simulator.simulator.truth(KEY)["cost"]["by_day"].values(), Decimal())


def test_a_run_goes_through_redis_to_the_providers_own_figure(
    server: Server, key: str, simulator: SimulatorServer, local_redis: LocalRedis
) -> None:
    run = server.finish(key, start(server, key))

    assert run["status"] == "COMPLETED"
    assert billed(server, key) == truth(simulator)
    assert not list(server.data_dir.rglob("state.duckdb*"))
    assert all(name.startswith("{convergence:dev}:") for name in local_redis.names())


def test_runs_wait_while_redis_is_away_and_none_is_lost(
    server: Server, key: str, simulator: SimulatorServer, local_redis: LocalRedis
) -> None:
    runs = [start(server, key) for _ in range(3)]
    local_redis.kill()
    ready = server.client.get("/health/ready")
    refused = server.client.post(
        "/api/v1/pipelines/run/acme/openai/usage_cost", json=PERIOD, headers={"X-API-Key": key}
    )
    alive = server.client.get("/health/live")
    local_redis.start()
    statuses = [server.finish(key, run)["status"] for run in runs]

    assert (ready.status_code, ready.json()["checks"]) == (
        503,
        {"warehouse": "ok", "queue": "store_unavailable", "state": "store_unavailable"},
    )
    assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
    assert alive.status_code == 200
    assert statuses == ["COMPLETED"] * 3
    assert billed(server, key) == truth(simulator)
    assert server.client.get("/health/ready").status_code == 200


def holder(url: str) -> Lease | None:
    """Who executes the pipeline now."""

    async def ask() -> Lease | None:
        store = RedisStateStore(url, prefix=load_settings({}).redis_prefix)
        try:
            return await store.holder("acme/lease/pipeline/openai-usage-cost")
        finally:
            await store.close()

    return asyncio.run(ask())


def await_holder(url: str, after: Lease | None = None) -> Lease:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        found = holder(url)
        if found is not None and found != after:
            return found
        time.sleep(0.02)
    raise AssertionError("nobody took the run")


def test_after_kill_9_the_next_worker_goes_on_when_the_lease_has_ended(
    server: Server, key: str, simulator: SimulatorServer, local_redis: LocalRedis
) -> None:
    run = start(server, key)
    dead = await_holder(local_redis.url)
    server.kill()
    killed = time.monotonic()
    server.start()
    await_holder(local_redis.url, dead)
    print(f"taken over {time.monotonic() - killed:.1f} s after kill -9 with a lease of {LEASE_SECONDS} s")

    assert server.finish(key, run)["status"] == "COMPLETED"
    assert billed(server, key) == truth(simulator)
