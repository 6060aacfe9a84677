"""Two API processes and three workers on BigQuery and Redis: workers die at random, the truth does not."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from bigquery_emulator import BigQueryEmulator
from redis_server import LocalRedis, running_redis
from served import Program, Server

from convergence.bootstrap import open_platform
from convergence.settings import load_settings
from convergence.simulator import OpenAIWorld, Simulator, SimulatorServer
from convergence.sql import Statement
from convergence.tenancy import OrgScope

ROUNDS = int(os.environ.get("FLEET_ROUNDS", "1"))
SEED = 20261121
DAYS = 30
FIRST = date(2026, 10, 1)
PERIOD = {"start_date": FIRST.isoformat(), "end_date": (FIRST + timedelta(days=DAYS - 1)).isoformat()}
ORGS = ("acme", "globex", "initech", "umbrella", "hooli")
KEYS = {org: f"sk-admin-fleet-{org}-0123456789abcdef" for org in ORGS}


@dataclass
class Fleet:
    """The processes of one deployment, and the keys of its organizations."""

    servers: list[Server]
    workers: list[Program]
    simulator: SimulatorServer
    environment: dict[str, str]
    keys: dict[str, str]

    def backfill(self, org: str) -> list[str]:
        server = self.servers[ORGS.index(org) % len(self.servers)]
        accepted = server.post(
            f"/pipelines/backfill/{org}/openai/usage_cost", self.keys[org], {**PERIOD, "chunk_days": DAYS}
        )
        return [run["pipeline_logging_id"] for run in accepted["runs"]]

    def statuses(self, runs: dict[str, list[str]]) -> set[str]:
        """As the first server tells them, whichever process executed them."""
        found = self.servers[0].get
        return {found(f"/pipelines/runs/{run}", self.keys[org])["status"] for org in runs for run in runs[org]}

    def finish_under_fire(self, runs: dict[str, list[str]], chance: random.Random) -> int:
        """Kill one worker after another, and start it again, until all runs have ended; how often."""
        kills = 0
        deadline = time.monotonic() + 1200
        while self.statuses(runs) - {"COMPLETED", "FAILED", "CANCELLED"}:
            assert time.monotonic() < deadline, self.logs()
            time.sleep(8 + chance.random() * 12)
            victim = chance.choice(self.workers)
            victim.kill()
            time.sleep(chance.random())
            victim.start()
            kills += 1
        return kills

    def logs(self) -> str:
        return "\n".join(program.log.read_text()[-2000:] for program in [*self.servers, *self.workers])


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, bigquery_emulator: BigQueryEmulator) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    with SimulatorServer(Simulator(seed=SEED)) as simulator, running_redis(folder) as redis:
        for number, org in enumerate(ORGS):
            world = OpenAIWorld(SEED + number, end_day=FIRST + timedelta(days=DAYS), days=DAYS, rows_per_day=6)
            simulator.simulator.add_account(KEYS[org], world)
        environment = _environment(bigquery_emulator, redis, simulator)
        servers = [Server(folder / "data", "--no-worker", **environment) for _ in range(2)]
        workers = [_worker(folder, number, servers[0]) for number in range(3)]
        made = Fleet(servers, workers, simulator, servers[0].environment, {})
        try:
            for program in servers:
                program.start()
            _set_up(made)
            for program in workers:
                program.start()
            yield made
        finally:
            for program in [*servers, *workers]:
                program.close()


def _environment(emulator: BigQueryEmulator, redis: LocalRedis, simulator: SimulatorServer) -> dict[str, str]:
    return {
        "WAREHOUSE": "bigquery",
        "GCP_PROJECT_ID": emulator.project(),
        "BIGQUERY_API_ENDPOINT": emulator.endpoint,
        "LOCK_BACKEND": "redis",
        "QUEUE_BACKEND": "redis",
        "REDIS_URL": redis.url,
        "OPENAI_BASE_URL": simulator.base_urls["openai"],
        "LEASE_SECONDS": "5",
        "HEARTBEAT_SECONDS": "1",
        "RETRY_BACKOFF_SECONDS": "0",
        "SHRINK_RECHECK_SECONDS": "0",
    }


def _worker(folder: Path, number: int, server: Server) -> Program:
    return Program("worker", log=folder / f"worker-{number}.log", environment=server.environment)


def _set_up(fleet: Fleet) -> None:
    fleet.servers[0].root("/admin/bootstrap")
    for org in ORGS:
        fleet.keys[org] = fleet.servers[0].onboard(org)
        fleet.servers[1].post(f"/integrations/{org}/openai/setup", fleet.keys[org], {"credential": KEYS[org]})


@pytest.mark.fleet
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("number", range(ROUNDS))
def test_workers_killed_during_backfills_of_five_organizations_leave_the_truth(fleet: Fleet, number: int) -> None:
    chance = random.Random(SEED + number)
    days = [FIRST + timedelta(days=chance.randrange(DAYS)) for _ in range(6)]
    fleet.simulator.simulator.revise("restate", days, share=0.3)

    runs = {org: fleet.backfill(org) for org in ORGS}
    kills = fleet.finish_under_fire(runs, chance)

    assert kills > 0
    assert fleet.statuses(runs) == {"COMPLETED"}, fleet.logs()
    for org in ORGS:
        truth = fleet.simulator.simulator.truth(KEYS[org])
        assert _rows(fleet, org) == _expected_rows(truth)
        assert _costs(fleet, org) == {day: amount for day, amount in truth["cost"]["by_day"].items() if amount}
        usage = fleet.servers[0].get(f"/organizations/{org}", fleet.keys[org])["usage"]
        assert usage["pipelines_running"] == 0
        assert usage["pipelines_today"] == number + 1
    assert asyncio.run(_published_twice(fleet)) == []


def _rows(fleet: Fleet, org: str) -> dict[tuple[str, str], int]:
    sql = "SELECT endpoint, usage_date, COUNT(*) AS n FROM openai_usage_daily_raw GROUP BY endpoint, usage_date"
    found = fleet.servers[0].query(org, fleet.keys[org], sql)
    return {(row["endpoint"], row["usage_date"]): row["n"] for row in found}


def _expected_rows(truth: dict[str, Any]) -> dict[tuple[str, str], int]:
    return {
        (endpoint, day): count
        for endpoint, days in truth["rows"].items()
        for day, count in days.items()
        if endpoint != "costs" and count
    }


def _costs(fleet: Fleet, org: str) -> dict[str, Decimal]:
    report = fleet.servers[1].get(f"/costs/{org}", fleet.keys[org], **PERIOD, granularity="day")
    return {row["day"]: Decimal(row["billed_cost"]) for row in report["rows"] if Decimal(row["billed_cost"])}


async def _published_twice(fleet: Fleet) -> list[dict[str, Any]]:
    """Scopes whose very same rows were written more than once."""
    sql = (
        "SELECT stream, day, content_digest, COUNT(*) AS n FROM _load_ledger WHERE outcome = 'replaced'"
        " AND day > DATE '0001-01-01' GROUP BY stream, day, content_digest HAVING COUNT(*) > 1"
    )
    async with open_platform(load_settings(fleet.environment)) as platform:
        return [
            {"org": org, **row}
            for org in ORGS
            for row in (await platform.warehouse.query(Statement(sql, OrgScope(org).dataset))).to_pylist()
        ]
