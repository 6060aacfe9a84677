"""What callers do with runs: ask for one, backfill, list, cancel, run one inline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

import msgspec
import structlog

from convergence.catalog import Catalog, Pipeline
from convergence.errors import (
    ConfigError,
    Conflict,
    ConvergenceError,
    Fault,
    InvalidRequest,
    NotFound,
    StepFailed,
    StoreUnavailable,
)
from convergence.kit.clock import Clock, today
from convergence.kit.hashing import digest
from convergence.kit.ids import new_id
from convergence.kit.jsontext import canonical
from convergence.kit.window import DAY, Window
from convergence.organizations.service import Organizations
from convergence.pipelines.executor import Execution, Executor
from convergence.pipelines.models import PLATFORM_ORG, RunRecord, RunStatus, StepRecord, StepStatus, TriggerType
from convergence.pipelines.quotas import Quotas
from convergence.pipelines.runs import RunStore
from convergence.pipelines.worker import lease_key, next_fence
from convergence.queue import Message, Queue
from convergence.state import StateStore
from convergence.steps.registry import PACKAGE, check_step
from convergence.tenancy import OrgScope

log = structlog.get_logger(__name__)

MAX_DAYS: Final = 366
_KEY_TTL = timedelta(hours=24)
_IN_FLIGHT = timedelta(seconds=3)
_INLINE_LEASE = timedelta(minutes=30)
_DEFAULT_CHUNK_DAYS = 7


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a caller asks for. No window means yesterday, UTC."""

    pipeline: Pipeline
    window: Window | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    trigger_type: TriggerType = TriggerType.API
    trigger_by: str = ""
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Backfill:
    """A range cut into runs."""

    backfill_id: str
    runs: tuple[RunRecord, ...]


@dataclass(frozen=True, slots=True)
class Inline:
    """A run that was executed in the call, and what it returned to the caller alone."""

    run: RunRecord
    results: Mapping[str, Any] = field(repr=False)


class Pipelines:
    """Accepts runs. A run is durable before it is accepted, and everything that can fail cheaply has been checked."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        runs: RunStore,
        quotas: Quotas,
        queue: Queue,
        state: StateStore,
        organizations: Organizations,
        executor: Executor,
        clock: Clock,
        instance: str,
        processors: str = PACKAGE,
    ) -> None:
        self._catalog = catalog
        self._runs = runs
        self._quotas = quotas
        self._queue = queue
        self._state = state
        self._organizations = organizations
        self._executor = executor
        self._clock = clock
        self._instance = instance
        self._processors = processors

    def discovered(self) -> list[Pipeline]:
        """The pipelines an organization may run."""
        return [pipeline for pipeline in self._catalog.pipelines() if _is_public(pipeline)]

    def find(self, name: str) -> Pipeline:
        """By pipeline_id or file stem; NotFound or Conflict otherwise."""
        return _public(self._catalog.find(name))

    def find_by_path(self, provider: str, domain: str, pipeline: str | None) -> Pipeline:
        return _public(self._catalog.find_by_path(provider, domain, pipeline))

    async def run(self, org: OrgScope, request: RunRequest) -> RunRecord:
        """Accept one run.

        Raises:
            InvalidRequest: a day in the future, or more than 366 days.
            Denied: the organization is suspended.
            QuotaExceeded: the plan's day, month or concurrency is used up.
            Conflict: the idempotency key was used with another request.
        """
        window = self._check_window(request.window)
        check_pipeline(request.pipeline, self._processors)
        await self._organizations.check_may_run(org)
        run = self._new_run(org, request, window)
        if request.idempotency_key is None:
            return await self._accept(org, run)
        return await self._run_once(org, run, request)

    async def run_upload(self, org: OrgScope, request: RunRequest, content: str) -> RunRecord:
        """Accept one run of an uploaded file; the file says which days it is about.

        The same `content` gives the run that it has already, unless that run has failed or was cancelled. Otherwise as
        `run`.
        """
        check_pipeline(request.pipeline, self._processors)
        await self._organizations.check_may_run(org)
        key = _upload_key(org, request.pipeline, content)
        entry = await self._state.get(key)
        if entry is not None:
            earlier = await self._await_run(org, entry.value.decode())
            if earlier is not None and earlier.status not in {RunStatus.FAILED, RunStatus.CANCELLED}:
                return earlier
        run = self._new_run(org, request, None)
        expected = entry.version if entry is not None else None
        if await self._state.compare_and_set(key, expected, run.run_id.encode()) is None:
            return await self.run_upload(org, request, content)  # another request with it was quicker
        try:
            return await self._accept(org, run)
        except ConvergenceError:
            await self._state.delete(key)
            raise

    async def forget_upload(self, org: OrgScope, pipeline: Pipeline, content: str) -> None:
        """Let the same content be a new run: what its last one has loaded is taken back."""
        await self._state.delete(_upload_key(org, pipeline, content))

    async def backfill(self, org: OrgScope, request: RunRequest, *, chunk_days: int | None = None) -> Backfill:
        """Accept a range as runs of at most `chunk_days` days; they count as one and wait for free slots."""
        window = self._check_window(request.window)
        check_pipeline(request.pipeline, self._processors)
        await self._organizations.check_may_run(org)
        backfill_id = new_id("bf")
        await self._quotas.reserve(org.org_slug, backfill_id, await self._organizations.plan(org), with_slot=False)
        runs: list[RunRecord] = []
        for chunk in window.chunks(chunk_days or _DEFAULT_CHUNK_DAYS):
            run = self._new_run(org, request, chunk)
            run.trigger_type, run.backfill_id, run.quota_counted = TriggerType.BACKFILL, backfill_id, not runs
            runs.append(run)
        for run in runs:
            await self._runs.create(run)
        for run in runs:
            await self._announce(run)
        return Backfill(backfill_id, tuple(runs))

    async def get(self, org: OrgScope, run_id: str) -> RunRecord:
        return await self._runs.get(org.org_slug, run_id)

    async def page(
        self,
        org: OrgScope,
        *,
        status: RunStatus | None = None,
        pipeline_id: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> tuple[Sequence[RunRecord], str | None]:
        """Runs, newest first, and the cursor of the next page."""
        return await self._runs.page(org.org_slug, status=status, pipeline_id=pipeline_id, limit=limit, cursor=cursor)

    async def cancel(self, org: OrgScope, run_id: str) -> RunRecord:
        """Cancel a run: at once while it waits, at its next heartbeat while it runs.

        Raises:
            Conflict: it has ended.
        """
        run = await self._runs.get(org.org_slug, run_id)
        if run.status.is_final:
            raise Conflict(f"run {run_id} has ended: {run.status}", code="run_ended")
        run = await self._runs.update(org.org_slug, run_id, self._request_cancel)
        if run.status is RunStatus.CANCELLED:
            await self._quotas.release(org.org_slug, run_id)
        return run

    async def run_inline(
        self,
        pipeline_id: str,
        *,
        org: OrgScope | None = None,
        parameters: Mapping[str, Any] | None = None,
        private_parameters: Mapping[str, Any] | None = None,
        trigger_by: str = "",
    ) -> Inline:
        """Execute a setup pipeline in this call. Private parameters and results are recorded nowhere.

        Raises:
            ConvergenceError: what the failed step raised.
        """
        pipeline = self._catalog.find(pipeline_id)
        check_pipeline(pipeline, self._processors)
        request = RunRequest(pipeline, None, parameters or {}, TriggerType.INLINE, trigger_by)
        run = self._new_run(org, request, None)
        async with self._lease(run):
            await self._runs.create(run)
            fence = await next_fence(self._state, run.org_slug, self._clock)
            run = await self._runs.update(run.org_slug, run.run_id, lambda record: _set_fence(record, fence))
            execution = Execution(run, pipeline, private_parameters=private_parameters or {})
            await self._executor.execute(execution)
        if execution.run.status is not RunStatus.COMPLETED:
            raise _error_of(execution)
        return Inline(execution.run, execution.private_results)

    @asynccontextmanager
    async def _lease(self, run: RunRecord) -> AsyncIterator[None]:
        lease = await self._state.acquire(lease_key(run), f"{self._instance}/{run.run_id}", _INLINE_LEASE)
        try:
            yield
        finally:
            if lease is not None:
                await self._state.release(lease)

    def _check_window(self, window: Window | None) -> Window:
        current = today(self._clock)
        if window is None:
            return Window.day(current - DAY)
        if window.last > current:
            raise InvalidRequest(
                f"{window.last} is in the future; today is {current} UTC", hint="Ask for days up to today."
            )
        if len(window) > MAX_DAYS:
            raise InvalidRequest(f"{len(window)} days are more than {MAX_DAYS}", hint="Ask for fewer days at a time.")
        return window

    def _new_run(self, org: OrgScope | None, request: RunRequest, window: Window | None) -> RunRecord:
        pipeline = request.pipeline
        return RunRecord(
            run_id=new_id("run"),
            org_slug=org.org_slug if org else PLATFORM_ORG,
            pipeline_id=pipeline.pipeline_id,
            trigger_type=request.trigger_type,
            trigger_by=request.trigger_by,
            accepted_at=self._clock.now(),
            config_version=pipeline.config_version,
            start_date=window.start if window else None,
            end_date=window.last if window else None,
            parameters=dict(request.parameters),
            quota_counted=request.trigger_type is not TriggerType.INLINE,
            steps=[
                StepRecord(step_id=step.step_id, step_index=index, ps_type=step.ps_type)
                for index, step in enumerate(pipeline.steps)
            ],
        )

    async def _accept(self, org: OrgScope, run: RunRecord) -> RunRecord:
        plan = await self._organizations.plan(org)
        with_slot = not run.trigger_type.waits_for_slot
        await self._quotas.reserve(org.org_slug, run.run_id, plan, with_slot=with_slot)
        try:
            await self._runs.create(run)
        except ConvergenceError:
            await self._quotas.undo(org.org_slug, run.run_id)
            raise
        await self._announce(run)
        return run

    async def _announce(self, run: RunRecord) -> None:
        """The run is durable: where the queue is away, the sweeper announces it."""
        try:
            await self._queue.put(Message(run.org_slug, run.run_id))
        except StoreUnavailable as error:
            log.warning("run not announced yet", run_id=run.run_id, error=error.message)

    async def _run_once(self, org: OrgScope, run: RunRecord, request: RunRequest) -> RunRecord:
        key = f"{org.org_slug}/idempotency/{digest(request.idempotency_key or '')}"
        fingerprint = _fingerprint(run)
        claim = msgspec.json.encode({"request": fingerprint, "run_id": run.run_id})
        if await self._state.compare_and_set(key, None, claim, ttl=_KEY_TTL) is None:
            entry = await self._state.get(key)
            held = msgspec.json.decode(entry.value) if entry else {}
            if held.get("request") != fingerprint:
                raise Conflict(
                    "this Idempotency-Key was used with another request",
                    code="idempotency_mismatch",
                    hint="Use a new key for a new request.",
                )
            if (earlier := await self._await_run(org, held["run_id"])) is not None:
                return earlier
            run.run_id = held["run_id"]  # accepted nowhere: the process died in between
        try:
            return await self._accept(org, run)
        except ConvergenceError:
            await self._state.delete(key)
            raise

    async def _await_run(self, org: OrgScope, run_id: str) -> RunRecord | None:
        """The run that another request with the same key is about to create."""
        deadline = self._clock.now() + _IN_FLIGHT
        while True:
            try:
                return await self._runs.get(org.org_slug, run_id)
            except NotFound:
                if self._clock.now() >= deadline:
                    return None
                await asyncio.sleep(0.05)

    def _request_cancel(self, run: RunRecord) -> None:
        if run.status.is_final:
            return
        run.is_cancel_requested = True
        if run.status is RunStatus.PENDING:
            run.status, run.end_time = RunStatus.CANCELLED, self._clock.now()
            run.error_code, run.error_message = "cancelled", "cancelled on request"
            for step in run.steps:
                if not step.status.is_final:
                    step.status = StepStatus.CANCELLED


def check_pipeline(pipeline: Pipeline, processors: str = PACKAGE) -> None:
    """Every step's processor exists and takes its keys.

    Raises:
        ConfigError: with all faults.
    """
    faults = [
        Fault(message, path=f"{pipeline.location}.yml", key=f"steps.{step.step_id}.{key}", expected=expected)
        for step in pipeline.steps
        for key, message, expected in check_step(step.ps_type, step.config, package=processors)
    ]
    if faults:
        raise ConfigError(faults, hint="convergence validate shows all faults of all pipelines.")


def _is_public(pipeline: Pipeline) -> bool:
    """The platform's own pipelines are run inline, by their routes and commands only."""
    return pipeline.provider not in {"platform", "integrations"}


def _public(pipeline: Pipeline) -> Pipeline:
    if not _is_public(pipeline):
        raise NotFound(f"no pipeline {pipeline.pipeline_id}", hint="GET /pipelines lists them.")
    return pipeline


def _upload_key(org: OrgScope, pipeline: Pipeline, content: str) -> str:
    return f"{org.org_slug}/uploads/{digest(pipeline.pipeline_id, content)}"


def _fingerprint(run: RunRecord) -> str:
    return digest(canonical([run.pipeline_id, run.start_date, run.end_date, run.parameters, str(run.trigger_type)]))


def _set_fence(run: RunRecord, fence: int) -> None:
    run.fence = fence


def _error_of(execution: Execution) -> ConvergenceError:
    """What a failed inline run raises to its caller: the step's own error."""
    for step in execution.pipeline.steps:
        if step.step_id in execution.errors:
            return execution.errors[step.step_id]
    return StepFailed(execution.run.error_message or "the run did not complete", code=execution.run.error_code)


def parse_window(day: date | None, start: date | None, end: date | None) -> Window | None:
    """The window of a request: one day, or both ends of a range (both inside), or neither.

    Raises:
        InvalidRequest: a day beside a range, half a range, or a range that ends before it starts.
    """
    if day is not None:
        if start is not None or end is not None:
            raise InvalidRequest("date stands beside start_date or end_date", hint="Give one day, or a range.")
        return Window.day(day)
    if start is None and end is None:
        return None
    if start is None or end is None:
        raise InvalidRequest("half a range: start_date and end_date belong together", hint="Give both.")
    if end < start:
        raise InvalidRequest(f"end_date {end} is before start_date {start}", hint="Swap them.")
    return Window.inclusive(start, end)
