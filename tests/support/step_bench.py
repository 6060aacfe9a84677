"""The steps of a provider against the simulator over HTTP and a real DuckDB file."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import structlog

from convergence.catalog import Catalog, Pipeline
from convergence.connectors import HttpPolicy, HttpPool
from convergence.connectors.uploads import Uploads
from convergence.kit.clock import ManualClock
from convergence.kit.window import Window
from convergence.simulator import Simulator, SimulatorServer
from convergence.sql import Statement
from convergence.steps import LoadLimits, RunInfo, StepContext, StepResult
from convergence.tenancy import OrgScope, PlatformScope
from convergence.warehouse.duckdb import DuckDBWarehouse

CONFIGS = Path(__file__).parents[2] / "configs"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TODAY = NOW.date()
_UNUSED: Any = None  # these steps touch neither
_QUICK = HttpPolicy(backoff_base=0.001, backoff_cap=0.01, attempts=3, budget_capacity=1000)


@dataclass(frozen=True)
class OneKey:
    """Reveals the same credential for every provider."""

    key: str

    async def reveal(self, _org: OrgScope, _provider: str, /) -> str:
        return self.key

    async def given(self, _org: OrgScope, _provider: str, /) -> Mapping[str, Any]:
        return {}


@dataclass
class Bench:
    """One organization, its warehouse, and the simulated account behind it."""

    simulator: Simulator
    world: Any
    warehouse: DuckDBWarehouse
    http: HttpPool
    clock: ManualClock
    provider: str
    key: str
    uploads: Uploads
    org: OrgScope = field(default_factory=lambda: OrgScope("acme"))
    runs: int = 0

    def _pipeline(self, name: str | None = None) -> Pipeline:
        return shipped().find(name or f"{self.provider}-usage-cost")

    @property
    def _steps(self) -> dict[str, Mapping[str, Any]]:
        return {step.ps_type: step.config for step in self._pipeline().steps}

    async def run(
        self,
        ps_type: str,
        window: Window | None,
        *,
        config: Mapping[str, Any] | None = None,
        trigger_type: str = "api",
        key: str | None = None,
        limits: LoadLimits | None = None,
        parameters: Mapping[str, Any] | None = None,
        outputs: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> StepResult:
        """Run one step as the shipped pipeline has it, each time with a higher fence."""
        self.runs += 1
        context = StepContext(
            run=RunInfo(f"run_{self.runs}", self._pipeline().pipeline_id, trigger_type, "test", self.runs),
            step_id=ps_type.replace(".", "_"),
            platform=PlatformScope(),
            warehouse=self.warehouse,
            http=self.http,
            credentials=OneKey(key or self.key),
            security=_UNUSED,
            state=_UNUSED,
            catalog=shipped(),
            uploads=self.uploads,
            clock=self.clock,
            log=structlog.get_logger(),
            folder=CONFIGS / self.provider,
            org=self.org,
            window=window,
            parameters=parameters or {},
            outputs=outputs or {},
            limits=limits or LoadLimits(shrink_recheck=timedelta()),
        )
        engine = import_module(f"convergence.processors.{ps_type}").get_engine()
        result: StepResult = await engine.execute({**self._steps.get(ps_type, {}), **(config or {})}, context)
        return result

    async def load_file(
        self,
        content: bytes,
        name: str,
        *,
        pipeline: str,
        provider: str | None = None,
        limits: LoadLimits | None = None,
        only: Collection[str] = (),
    ) -> dict[str, StepResult]:
        """Upload a file now and run a pipeline, or some steps of it, over it, as POST /files does; what each made."""
        upload = await self.uploads.receive(self.org, _chunks(content), max_bytes=2**30)
        os.utime(upload.path, (self.clock.now().timestamp(),) * 2)
        given, results = {"upload": upload.sha256, "filename": name, "provider": provider or self.provider}, {}
        for step in self._pipeline(pipeline).steps:
            if only and step.step_id not in only:
                continue
            outputs = {step_id: result.metadata for step_id, result in results.items()}
            results[step.step_id] = await self.run(
                step.ps_type, None, config=step.config, limits=limits, parameters=given, outputs=outputs
            )
        return results

    async def run_all(self, window: Window) -> None:
        for ps_type in self._steps:
            await self.run(ps_type, window)

    async def rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (
            await self.warehouse.query(Statement(sql, self.org.dataset, parameters))
        ).to_pylist()
        return found

    async def value(self, sql: str, **parameters: Any) -> Any:
        (row,) = await self.rows(sql, **parameters)
        (value,) = row.values()
        return value

    async def daily(self, table: str, column: str) -> dict[str, Decimal]:
        """The sum of each day that has one."""
        rows = await self.rows(f"SELECT usage_date, SUM({column}) AS amount FROM {table} GROUP BY usage_date")
        return {row["usage_date"].isoformat(): row["amount"] for row in rows if row["amount"]}

    def truth(self) -> dict[str, Any]:
        """What the provider knows to be true now."""
        found: dict[str, Any] = self.simulator.truth(self.key)
        return found


@asynccontextmanager
async def open_bench(
    server: SimulatorServer, world: Any, folder: Path, provider: str, key: str
) -> AsyncIterator[Bench]:
    """A bench with the organization's dataset."""
    clock = ManualClock(NOW)
    pool = HttpPool(base_urls=server.base_urls, clock=clock, policy=_QUICK)
    warehouse = DuckDBWarehouse(folder)
    made = Bench(server.simulator, world, warehouse, pool, clock, provider, key, Uploads(folder / "uploads"))
    await warehouse.ensure_dataset(made.org.dataset)
    yield made
    await pool.close()
    await warehouse.close()


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    yield content


@cache
def shipped() -> Catalog:
    """The shipped configs, parsed once."""
    return Catalog(CONFIGS)


def last_days(count: int) -> Window:
    """The `count` days before today."""
    return Window(TODAY - timedelta(days=count), TODAY)
