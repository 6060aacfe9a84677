"""The run store: the hot copy in the state store, the record in the warehouse."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from convergence.catalog import Catalog
from convergence.errors import InvalidRequest, LeaseLost, NotFound
from convergence.kit.clock import Clock
from convergence.kit.jsontext import loads
from convergence.pipelines.metadata_log import MetadataLog
from convergence.pipelines.models import PLATFORM_ORG, RunRecord, RunStatus, StepRecord
from convergence.sql import Statement
from convergence.state import StateStore
from convergence.tenancy import PlatformScope
from convergence.warehouse import Warehouse

RUNS_LOG: Final = "org_meta_pipeline_runs_log"
STEPS_LOG: Final = "org_meta_step_logs_log"
_KEEP = timedelta(days=2)  # how long the hot copy outlives the end of a run


class RunStore:
    """Creates, changes and reads runs. A change is one compare-and-set, then a row for the metadata log."""

    def __init__(
        self,
        state: StateStore,
        warehouse: Warehouse,
        platform: PlatformScope,
        metadata_log: MetadataLog,
        catalog: Catalog,
        clock: Clock,
    ) -> None:
        self._state = state
        self._warehouse = warehouse
        self._platform = platform
        self._log = metadata_log
        self._catalog = catalog
        self._clock = clock

    async def create(self, run: RunRecord) -> bool:
        """Make the run durable; False when it is there already."""
        await self._state.compare_and_set(_open_key(run), None, b"")
        if await self._state.compare_and_set(_key(run.org_slug, run.run_id), None, _encode(run)) is None:
            return False
        self.record(run)
        return True

    async def update(
        self, org_slug: str, run_id: str, change: Callable[[RunRecord], None], *, fence: int | None = None
    ) -> RunRecord:
        """Apply `change` and record the new state; with a fence, only while that owner holds the run.

        Raises:
            LeaseLost: another owner has taken the run.
            NotFound: there is no such run in the state store.
        """
        while True:
            entry = await self._state.get(_key(org_slug, run_id))
            if entry is None:
                raise NotFound(f"no open run {run_id}")
            run = _decode(entry.value)
            if fence is not None and run.fence != fence:
                raise LeaseLost(f"run {run_id} has a newer owner")
            before = _encode(run)
            change(run)
            if _encode(run) == before:
                return run
            run.record_version += 1
            ttl = _KEEP if run.status.is_final else None
            if await self._state.compare_and_set(entry.key, entry.version, _encode(run), ttl=ttl) is None:
                continue
            self.record(run)
            if run.status.is_final:
                await self._state.delete(_open_key(run))
            return run

    async def find_hot(self, org_slug: str, run_id: str) -> RunRecord | None:
        """The run from the state store only."""
        entry = await self._state.get(_key(org_slug, run_id))
        return None if entry is None else _decode(entry.value)

    async def get(self, org_slug: str, run_id: str) -> RunRecord:
        """One run of one organization.

        Raises:
            NotFound: no such run, or another organization's.
        """
        hot = await self.find_hot(org_slug, run_id)
        if hot is not None:
            return hot
        found = await self._select("AND pipeline_logging_id = @run_id", org_slug, {"run_id": run_id}, limit=1)
        if not found:
            raise NotFound(f"no run {run_id}", hint="GET /pipelines/runs lists them.")
        await self._attach_steps(found)
        return found[0]

    async def page(
        self, org_slug: str, *, status: RunStatus | None, pipeline_id: str | None, limit: int, cursor: str | None
    ) -> tuple[list[RunRecord], str | None]:
        """Runs, newest first, with the cursor of the next page."""
        await self._log.flush()
        position = _read_cursor(cursor) if cursor else None
        condition = ""
        parameters: dict[str, Any] = {}
        if status is not None:
            condition += " AND status = @status"
            parameters["status"] = str(status)
        if pipeline_id is not None:
            condition += " AND pipeline_id = @pipeline"
            parameters["pipeline"] = pipeline_id
        if position is not None:
            condition += " AND (accepted_at < @accepted OR (accepted_at = @accepted AND pipeline_logging_id < @run_id))"
            parameters |= {"accepted": position[0], "run_id": position[1]}
        found = await self._select(condition, org_slug, parameters, limit=limit + 1)
        page = found[:limit]
        await self._attach_steps(page)
        current = [await self._refresh(run) for run in page]
        matching = [run for run in current if status in {None, run.status}]
        return matching, _write_cursor(page[-1]) if len(found) > limit else None

    async def _refresh(self, run: RunRecord) -> RunRecord:
        """The state store's copy of a run whose record may be a moment behind."""
        if run.status.is_final:
            return run
        return await self.find_hot(run.org_slug, run.run_id) or run

    async def open_runs(self) -> AsyncIterator[RunRecord]:
        """Every run that has not ended, of all organizations."""
        async for entry in self._state.scan("open/"):
            _, org_slug, run_id = entry.key.split("/")
            run = await self.find_hot(org_slug, run_id)
            if run is None or run.status.is_final:
                await self._forget_open(entry.key, run)
            else:
                yield run

    async def recent_runs(self, org_slug: str) -> AsyncIterator[RunRecord]:
        """The organization's runs that are still in the state store."""
        async for entry in self._state.scan(f"run/{org_slug}/"):
            yield _decode(entry.value)

    async def restore_records(self) -> int:
        """Record again what a crash kept from the warehouse; the number of runs whose record was behind."""
        recorded = await self._recorded_versions()
        behind = 0
        async for entry in self._state.scan("run/"):
            run = _decode(entry.value)
            if recorded.get(run.run_id, -1) < run.record_version:
                self.record(run)
                behind += 1
        return behind

    def record(self, run: RunRecord) -> None:
        """Hand the current state of a run and its steps to the metadata log."""
        stamp = {
            "org_slug": run.org_slug,
            "pipeline_logging_id": run.run_id,
            "run_date": run.accepted_at.date(),
            "record_version": run.record_version,
            "recorded_at": self._clock.now(),
        }
        self._log.append(RUNS_LOG, {**_run_row(run), **stamp})
        for step in run.steps:
            self._log.append(STEPS_LOG, {**_step_row(step), **stamp})

    async def _forget_open(self, key: str, run: RunRecord | None) -> None:
        # A run is marked open just before it is created: without its record the mark is a crash's, or a moment old.
        if run is not None:
            await self._state.delete(key)

    async def _recorded_versions(self) -> dict[str, int]:
        statement = Statement(
            f"SELECT pipeline_logging_id, MAX(record_version) AS version FROM {RUNS_LOG} "
            "WHERE run_date >= @since GROUP BY pipeline_logging_id",
            self._platform.dataset,
            {"since": (self._clock.now() - 2 * _KEEP).date()},
        )
        if RUNS_LOG not in await self._warehouse.tables(self._platform.dataset):
            return {}
        rows = (await self._warehouse.query(statement)).to_pylist()
        return {row["pipeline_logging_id"]: row["version"] for row in rows}

    async def _select(
        self, condition: str, org_slug: str, parameters: dict[str, Any], *, limit: int
    ) -> list[RunRecord]:
        statement = Statement(
            "SELECT * FROM org_meta_pipeline_runs WHERE org_slug = @org_slug "
            f"{condition} ORDER BY accepted_at DESC, pipeline_logging_id DESC LIMIT @row_limit",
            self._platform.dataset,
            {"org_slug": org_slug, "row_limit": limit, **parameters},
        )
        return [_run_from_row(row) for row in (await self._warehouse.query(statement)).to_pylist()]

    async def _attach_steps(self, runs: list[RunRecord]) -> None:
        if not runs:
            return
        statement = Statement(
            "SELECT * FROM org_meta_step_logs WHERE org_slug = @org_slug "
            "AND pipeline_logging_id IN UNNEST(@run_ids) ORDER BY step_index",
            self._platform.dataset,
            {"org_slug": runs[0].org_slug, "run_ids": [run.run_id for run in runs]},
        )
        by_id = {run.run_id: run for run in runs}
        for row in (await self._warehouse.query(statement)).to_pylist():
            by_id[row["pipeline_logging_id"]].steps.append(_step_from_row(row))


def _key(org_slug: str, run_id: str) -> str:
    return f"run/{org_slug}/{run_id}"


def _open_key(run: RunRecord) -> str:
    return f"open/{run.org_slug}/{run.run_id}"


def _encode(run: RunRecord) -> bytes:
    return msgspec.json.encode(run)


def _decode(value: bytes) -> RunRecord:
    return msgspec.json.decode(value, type=RunRecord)


def _run_row(run: RunRecord) -> dict[str, Any]:
    return {
        "pipeline_id": run.pipeline_id,
        "status": str(run.status),
        "trigger_type": str(run.trigger_type),
        "trigger_by": run.trigger_by,
        "accepted_at": run.accepted_at,
        "start_time": run.start_time,
        "end_time": run.end_time,
        "duration_ms": run.duration_ms,
        "start_date": run.start_date,
        "end_date": run.end_date,
        "parameters": run.parameters,
        "run_metadata": run.metadata,
        "config_version": run.config_version,
        "worker_instance": run.worker_instance,
        "error_code": run.error_code,
        "error_message": run.error_message,
        "attempt": run.attempt,
        "backfill_id": run.backfill_id,
        "quota_counted": run.quota_counted,
    }


def _step_row(step: StepRecord) -> dict[str, Any]:
    return {
        "step_id": step.step_id,
        "step_index": step.step_index,
        "ps_type": step.ps_type,
        "status": str(step.status),
        "start_time": step.start_time,
        "end_time": step.end_time,
        "duration_ms": step.duration_ms,
        "rows_processed": step.rows_processed,
        "error_code": step.error_code,
        "error_message": step.error_message,
        "metadata": step.metadata,
        "attempt": step.attempt,
    }


def _run_from_row(row: dict[str, Any]) -> RunRecord:
    values = {name: value for name, value in row.items() if name in RunRecord.__struct_fields__}
    values |= {
        "run_id": row["pipeline_logging_id"],
        "org_slug": row["org_slug"] or PLATFORM_ORG,
        "parameters": loads(row["parameters"] or "{}"),
        "metadata": loads(row["run_metadata"] or "{}"),
        "steps": [],
    }
    return msgspec.convert(values, RunRecord)


def _step_from_row(row: dict[str, Any]) -> StepRecord:
    values = {name: value for name, value in row.items() if name in StepRecord.__struct_fields__}
    return msgspec.convert({**values, "metadata": loads(row["metadata"] or "{}")}, StepRecord)


def _write_cursor(run: RunRecord) -> str:
    return base64.urlsafe_b64encode(f"{run.accepted_at.isoformat()}|{run.run_id}".encode()).decode()


def _read_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        moment, run_id = base64.urlsafe_b64decode(cursor.encode()).decode().split("|")
        return datetime.fromisoformat(moment), run_id
    except ValueError as error:
        raise InvalidRequest("cursor is not one of ours", hint="Pass next_cursor as it came.") from error
