"""A platform over real files, organizations with simulated accounts, and what must hold after every fault."""

from __future__ import annotations

import asyncio
import gzip
import io
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from convergence.bootstrap import Platform, open_platform
from convergence.kit.window import Window
from convergence.organizations.models import OnboardingRequest
from convergence.pipelines.executor import Executor
from convergence.pipelines.models import RunRecord, RunStatus
from convergence.pipelines.service import RunRequest
from convergence.pipelines.worker import Worker
from convergence.queue import Message
from convergence.settings import load_settings
from convergence.simulator import OpenAIWorld, SimulatorServer
from convergence.sql import Statement
from convergence.tenancy import DatasetRef

ORGS = ("acme", "globex")
KEYS = {org: f"sk-admin-CANARY-{org}-0123456789abcdef" for org in ORGS}
FIRST = date(2026, 10, 1)
SEED = 20261121
PIPELINE = "openai-usage-cost"
TABLES = ("openai_usage_daily_raw", "openai_reported_cost_daily_raw", "openai_cost_daily")
FINAL = {RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED}


def days(count: int, *, start: int = 0) -> Window:
    """`count` days from day number `start` of the simulated history."""
    return Window(FIRST + timedelta(days=start), FIRST + timedelta(days=start + count))


@dataclass
class Lab:
    """One data folder, one simulator, and what was logged."""

    folder: Path
    simulator: SimulatorServer
    log: io.StringIO
    worlds: dict[str, OpenAIWorld] = field(default_factory=dict)

    def stage(self, *, days: int = 30, rows_per_day: int = 20, **options: Any) -> None:
        """Give each organization's key a world of its own."""
        for number, org in enumerate(ORGS):
            end_day = FIRST + timedelta(days=days)
            world = OpenAIWorld(SEED + number, end_day=end_day, days=days, rows_per_day=rows_per_day, **options)
            self.simulator.simulator.add_account(KEYS[org], world)
            self.worlds[org] = world

    @asynccontextmanager
    async def open(self, *, work: bool = True, **environment: str) -> AsyncIterator[Bench]:
        settings = load_settings(
            {
                "DATA_DIR": str(self.folder),
                "OPENAI_BASE_URL": self.simulator.base_urls["openai"],
                "RETRY_BACKOFF_SECONDS": "0",
                "SHRINK_RECHECK_SECONDS": "0",
                "METADATA_LOG_FLUSH_INTERVAL_SECONDS": "1",
                **environment,
            }
        )
        async with open_platform(settings) as platform:
            if work:
                platform.start_work()
            bench = Bench(self, platform)
            yield bench
            await bench.check_secrets()
        self.check_secrets()

    def check_secrets(self) -> None:
        """No credential in the log, nor in any file, packed or not."""
        assert self.log.getvalue().count("\n") > 0
        for key in KEYS.values():
            assert key not in self.log.getvalue()
            assert [path.name for path in self.folder.rglob("*") if path.is_file() and _holds(path, key)] == []


@dataclass
class Bench:
    """An open platform, and the questions that the tests ask of it."""

    lab: Lab
    platform: Platform

    async def set_up(self) -> None:
        """The platform's own tables, and both organizations with their integration, as the API does it."""
        await self.platform.organizations.bootstrap(force_recreate_dataset=False)
        for org in ORGS:
            await self.platform.organizations.onboard(OnboardingRequest(org, org, f"{org}@example.com", "SCALE"))
            await self.platform.pipelines.run_inline(
                "integration-openai-setup",
                org=self.platform.scope.org(org),
                private_parameters={"credential": KEYS[org]},
            )

    async def accept(self, window: Window, *, org: str = "acme") -> RunRecord:
        pipeline = self.platform.pipelines.find(PIPELINE)
        return await self.platform.pipelines.run(self.platform.scope.org(org), RunRequest(pipeline, window))

    async def backfill(self, window: Window, chunk_days: int, *, org: str = "acme") -> Sequence[RunRecord]:
        request = RunRequest(self.platform.pipelines.find(PIPELINE), window)
        accepted = await self.platform.pipelines.backfill(self.platform.scope.org(org), request, chunk_days=chunk_days)
        return accepted.runs

    async def run(self, window: Window, *, org: str = "acme") -> RunRecord:
        """A run, when it has ended."""
        return await self.finish(await self.accept(window, org=org))

    async def run_here(self, window: Window) -> RunRecord:
        """A run, executed by this call and not by a worker in the background."""
        run = await self.accept(window)
        await self.platform.worker.work(Message(run.org_slug, run.run_id))
        return await self.find(run)

    async def finish(self, run: RunRecord, *, seconds: float = 180) -> RunRecord:
        async with asyncio.timeout(seconds):
            while (current := await self.find(run)).status not in FINAL:
                await asyncio.sleep(0.02)
        return current

    async def finish_all(self, runs: Sequence[RunRecord]) -> Counter[RunStatus]:
        return Counter([(await self.finish(run, seconds=240)).status for run in runs])

    async def pause(self) -> None:
        await asyncio.sleep(0.02)

    async def find(self, run: RunRecord) -> RunRecord:
        return await self.platform.pipelines.get(self.platform.scope.org(run.org_slug), run.run_id)

    async def rows(self, sql: str, *, org: str = "acme", **parameters: Any) -> list[dict[str, Any]]:
        statement = Statement(sql, self.platform.scope.org(org).dataset, parameters)
        return (await self.platform.warehouse.query(statement)).to_pylist()

    async def content(self, *, org: str = "acme") -> dict[str, list[str]]:
        """Every table of the organization, whole, who loaded it included, in an order of its own."""
        dataset = self.platform.scope.org(org).dataset
        return {
            table: sorted(map(repr, await self.rows(f"SELECT * FROM {table}", org=org)))
            for table in await self.platform.warehouse.tables(dataset)
            if not table.endswith("_view")  # of the platform's records, which follow a moment later
        }

    async def published(self, *, org: str = "acme") -> dict[tuple[str, date, str], int]:
        """How often the rows of a stream and day were written, by their content."""
        found = await self.rows(
            "SELECT stream, day, content_digest, COUNT(*) AS n FROM _load_ledger WHERE outcome = 'replaced'"
            " AND day > DATE '0001-01-01' GROUP BY stream, day, content_digest",
            org=org,
        )
        return {(row["stream"], row["day"], row["content_digest"]): row["n"] for row in found}

    async def check_truth(self, window: Window, *, org: str = "acme") -> None:
        """Rows, figures and cents of these days are those that the provider states now; nothing is left undone."""
        await self.check_quiet()
        truth = _Truth(self.lab.worlds[org], self.lab.simulator.simulator.truth(KEYS[org]), window)
        assert await self._usage_rows(org) == truth.usage_rows
        assert await self._usage_sums(org) == truth.usage_sums
        assert await self._amounts(org, "openai_reported_cost_daily_raw", "amount") == truth.cost_by_day
        assert await self._amounts(org, "openai_cost_daily", "billed_cost") == truth.cost_by_day
        assert await self._amounts(org, "focus_cost_daily", "BilledCost", "x_UsageDate") == truth.cost_by_day
        assert await self._doubled(org) == []

    async def check_quiet(self) -> None:
        """No run is open and no slot is taken."""
        assert [run.run_id async for run in self.platform.runs.open_runs()] == []
        assert [(await self.platform.quotas.usage(org)).slots for org in ORGS] == [{}, {}]

    async def check_secrets(self) -> None:
        """No credential in any table, however it is packed on disk, nor in the state store."""
        datasets = [self.platform.scope.dataset, *(self.platform.scope.org(org).dataset for org in ORGS)]
        for dataset in datasets:
            for table in await self.platform.warehouse.tables(dataset):
                text = await self._text(dataset, table)
                assert [key for key in KEYS.values() if key in text] == [], table
        values = [entry.value async for entry in self.platform.state.scan("")]
        assert values
        assert [key for key in KEYS.values() if key.encode() in b"\n".join(values)] == []

    async def _text(self, dataset: DatasetRef, table: str) -> str:
        found = await self.platform.warehouse.query(Statement(f"SELECT * FROM {table}", dataset))
        return repr(found.to_pylist())

    async def _usage_rows(self, org: str) -> dict[tuple[str, date], int]:
        sql = "SELECT endpoint, usage_date, COUNT(*) AS n FROM openai_usage_daily_raw GROUP BY endpoint, usage_date"
        return {(row["endpoint"], row["usage_date"]): row["n"] for row in await self.rows(sql, org=org)}

    async def _usage_sums(self, org: str) -> dict[str, int]:
        names = ("input_tokens", "output_tokens", "input_cached_tokens", "num_model_requests")
        sums = ", ".join(f"SUM({name}) AS {name}" for name in names)
        (row,) = await self.rows(f"SELECT {sums} FROM openai_usage_daily_raw WHERE endpoint = 'completions'", org=org)
        return {name: row[name] or 0 for name in names}

    async def _amounts(self, org: str, table: str, column: str, day: str = "usage_date") -> dict[date, Decimal]:
        sql = f"SELECT {day} AS day, SUM({column}) AS amount FROM {table} GROUP BY day"
        return {row["day"]: row["amount"] for row in await self.rows(sql, org=org) if row["amount"]}

    async def _doubled(self, org: str) -> list[dict[str, Any]]:
        names = "usage_date, endpoint, project_id, user_id, api_key_id, model, batch, service_tier, size, source"
        names += ", context_level, vector_store_id"
        sql = f"SELECT {names}, COUNT(*) AS n FROM openai_usage_daily_raw GROUP BY {names} HAVING COUNT(*) > 1"
        return await self.rows(sql, org=org)


class _Truth:
    """What the provider states of some days, of which the world may hold more."""

    def __init__(self, world: OpenAIWorld, truth: dict[str, Any], window: Window) -> None:
        assert window.start <= world.window.start
        assert window.end >= world.window.end
        self.usage_rows = {
            (endpoint, date.fromisoformat(day)): count
            for endpoint, counts in truth["rows"].items()
            for day, count in counts.items()
            if endpoint != "costs" and count
        }
        usage = truth["usage"]["completions"]
        names = ("input_tokens", "output_tokens", "input_cached_tokens", "num_model_requests")
        self.usage_sums = {name: usage[name] for name in names}
        by_day = truth["cost"]["by_day"].items()
        self.cost_by_day = {date.fromisoformat(day): amount for day, amount in by_day if amount}


def second_worker(platform: Platform, instance: str, **options: Any) -> Worker:
    """Another worker on the same services, as if it were another process."""
    first = platform.worker
    given = {
        "queue": platform.queue,
        "state": platform.state,
        "runs": platform.runs,
        "quotas": platform.quotas,
        "organizations": platform.organizations,
        "catalog": platform.catalog,
        "executor": first._executor,
        "clock": platform.clock,
        "lease": first._lease,
        "heartbeat": first._heartbeat,
        "concurrency": 2,
    }
    return Worker(instance=instance, **{**given, **options})


def executor_with(platform: Platform, **services: Any) -> Executor:
    """The platform's executor with other services."""
    first = platform.worker._executor
    return Executor(
        replace(first._services, **services),
        platform.runs,
        retry_backoff=timedelta(),
        worker_instance="other",
        before_end=lambda run: platform.quotas.release(run.org_slug, run.run_id),
    )


def _holds(path: Path, key: str) -> bool:
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    return key.encode() in content
