"""Starts what is due: once for each slot of each schedule, also for slots missed while nothing ran."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog
from cronsim import CronSim

from convergence.catalog import Catalog, Pipeline
from convergence.errors import Conflict, ConvergenceError, QuotaExceeded
from convergence.integrations.service import Integrations
from convergence.kit.clock import Clock
from convergence.kit.window import DAY, Window
from convergence.organizations.service import Organizations
from convergence.pipelines.models import TriggerType
from convergence.pipelines.service import Pipelines, RunRequest
from convergence.state import StateStore
from convergence.tenancy import OrgScope, PlatformScope
from convergence.warehouse import Warehouse, WriteMode

if TYPE_CHECKING:
    import pyarrow as pa

log = structlog.get_logger(__name__)

_CATCH_UP = 31  # slots of one schedule started by one tick
_TABLE = "org_scheduled_pipeline_runs"
_OVER_ALL = frozenset({"reconciliation"})  # folders of pipelines that read what the others have loaded


@dataclass(frozen=True, slots=True)
class Tick:
    """What one tick did."""

    due: int = 0
    enqueued: int = 0
    deferred: int = 0  # over a quota: tried again at the next tick


class Scheduler:
    """Finds due slots by what each schedule has started, not by the time of the last tick."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        pipelines: Pipelines,
        organizations: Organizations,
        integrations: Integrations,
        state: StateStore,
        warehouse: Warehouse,
        platform: PlatformScope,
        clock: Clock,
    ) -> None:
        self._catalog = catalog
        self._pipelines = pipelines
        self._organizations = organizations
        self._integrations = integrations
        self._state = state
        self._warehouse = warehouse
        self._platform = platform
        self._clock = clock

    async def run(self, stop: asyncio.Event, *, interval: timedelta = timedelta(seconds=60)) -> None:
        """Tick until told to stop."""
        while not stop.is_set():
            try:
                await self.tick()
            except ConvergenceError as error:
                log.warning("scheduler tick failed", error=error.message)
            try:
                async with asyncio.timeout(interval.total_seconds()):
                    await stop.wait()
            except TimeoutError:
                continue

    async def tick(self) -> Tick:
        """Start every due pipeline of every active organization whose integration is valid."""
        due = enqueued = 0
        for org in await self._organizations.active_organizations():
            providers = await self._integrations.valid_providers(org)
            for pipeline in self._pipelines.discovered():
                if pipeline.schedule is None or not _may_run(pipeline, providers):
                    continue
                async for slot in self._due_slots(org, pipeline, pipeline.schedule):
                    due += 1
                    if not await self._start(org, pipeline, slot):
                        break
                    enqueued += 1
        return Tick(due=due, enqueued=enqueued, deferred=due - enqueued)

    async def _due_slots(self, org: OrgScope, pipeline: Pipeline, schedule: str) -> AsyncIterator[datetime]:
        now = self._clock.now()
        key = _position_key(org, pipeline)
        entry = await self._state.get(key)
        if entry is None:  # seen for the first time: its first slot is the next one
            await self._state.compare_and_set(key, None, now.isoformat().encode())
            return
        slots = CronSim(schedule, datetime.fromisoformat(entry.value.decode()))
        for _ in range(_CATCH_UP):
            slot = next(slots)
            if slot > now:
                return
            yield slot

    async def _start(self, org: OrgScope, pipeline: Pipeline, slot: datetime) -> bool:
        """Start one slot; False when the plan has no room for it now."""
        request = RunRequest(
            pipeline,
            Window.day(slot.date() - DAY),
            trigger_type=TriggerType.SCHEDULER,
            trigger_by="scheduler",
            idempotency_key=f"schedule/{pipeline.pipeline_id}/{slot.isoformat()}",
        )
        try:
            run = await self._pipelines.run(org, request)
        except (QuotaExceeded, Conflict) as error:
            log.warning("slot put off", org_slug=org.org_slug, pipeline_id=pipeline.pipeline_id, error=error.message)
            return False
        await self._advance(org, pipeline, slot)
        await self._record(org, pipeline, slot, run.run_id)
        return True

    async def _advance(self, org: OrgScope, pipeline: Pipeline, slot: datetime) -> None:
        key = _position_key(org, pipeline)
        entry = await self._state.get(key)
        if entry is None or datetime.fromisoformat(entry.value.decode()) < slot:
            await self._state.compare_and_set(key, entry.version if entry else None, slot.isoformat().encode())

    async def _record(self, org: OrgScope, pipeline: Pipeline, slot: datetime, run_id: str) -> None:
        row = {
            "org_slug": org.org_slug,
            "pipeline_id": pipeline.pipeline_id,
            "schedule_slot": slot,
            "pipeline_logging_id": run_id,
            "enqueued_at": self._clock.now(),
        }
        keys = ("org_slug", "pipeline_id", "schedule_slot")
        await self._warehouse.load(self._platform.table(_TABLE), self._batch(row), mode=WriteMode.MERGE, keys=keys)

    async def _batch(self, row: dict[str, object]) -> AsyncIterator[pa.RecordBatch]:
        import pyarrow as pa

        from convergence.warehouse.arrow import build_arrow_schema

        full = build_arrow_schema(self._catalog.schema(_TABLE))
        yield pa.RecordBatch.from_pylist([row], schema=pa.schema([field for field in full if field.name in row]))


def _may_run(pipeline: Pipeline, providers: Collection[str]) -> bool:
    """Whether its integration is valid; what compares all providers needs any."""
    return bool(providers) if pipeline.provider in _OVER_ALL else pipeline.provider in providers


def _position_key(org: OrgScope, pipeline: Pipeline) -> str:
    return f"{org.org_slug}/schedule/{pipeline.pipeline_id}"
