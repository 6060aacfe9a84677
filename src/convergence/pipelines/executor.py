"""Runs the steps of one run, in the order of their dependencies, and records every transition."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

import structlog
from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from convergence.catalog import Catalog, Pipeline, Step
from convergence.catalog.templates import build_values, fill
from convergence.connectors import HttpPool
from convergence.connectors.uploads import Uploads
from convergence.errors import Cancelled, ConvergenceError, LeaseLost, StepFailed, TransientError
from convergence.kit import metrics
from convergence.kit.clock import Clock
from convergence.pipelines.models import PLATFORM_ORG, RunRecord, RunStatus, StepRecord, StepStatus, describe
from convergence.pipelines.runs import RunStore
from convergence.security import Security
from convergence.security.redaction import redact
from convergence.state import StateStore
from convergence.steps import CredentialReader, LoadLimits, RunInfo, StepContext, StepResult
from convergence.steps.registry import PACKAGE, load_processor
from convergence.tenancy import PlatformScope
from convergence.warehouse import Warehouse

log = structlog.get_logger(__name__)
tracer = trace.get_tracer("convergence")
Progress = Callable[[str, int], None]  # step_id, rows so far


class Outcome(StrEnum):
    """How an execution left the run."""

    FINISHED = "finished"  # COMPLETED, FAILED or CANCELLED is recorded
    RETRY = "retry"  # PENDING again, not before `not_before`
    RELEASED = "released"  # PENDING again at once: this worker shuts down
    LOST = "lost"  # another worker owns the run: nothing more was written


class StopReason(StrEnum):
    """Why an execution is asked to stop."""

    CANCEL = "cancel"
    SHUTDOWN = "shutdown"
    LEASE_LOST = "lease_lost"


@dataclass(frozen=True, slots=True)
class Services:
    """What every step may be given."""

    platform: PlatformScope
    warehouse: Warehouse
    http: HttpPool
    credentials: CredentialReader
    security: Security
    state: StateStore
    catalog: Catalog
    uploads: Uploads
    clock: Clock
    limits: LoadLimits


@dataclass(slots=True)
class Execution:
    """One attempt at one run, by one owner. Private parameters and results live only here."""

    run: RunRecord
    pipeline: Pipeline
    private_parameters: Mapping[str, Any] = field(default_factory=dict)
    progress: Progress = lambda _step, _rows: None
    private_results: dict[str, Any] = field(default_factory=dict)
    stop_reason: StopReason | None = None
    errors: dict[str, ConvergenceError] = field(default_factory=dict)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self, reason: StopReason) -> None:
        """Ask the execution to end; the first reason counts."""
        if self.stop_reason is None:
            self.stop_reason = reason
            self._stop.set()

    async def stopped(self) -> None:
        await self._stop.wait()


class Executor:
    """Stateless between runs: everything lies in the run record."""

    def __init__(
        self,
        services: Services,
        runs: RunStore,
        *,
        retry_backoff: timedelta,
        worker_instance: str,
        before_end: Callable[[RunRecord], Awaitable[None]],
        processors: str = PACKAGE,
    ) -> None:
        self._services = services
        self._runs = runs
        self._retry_backoff = retry_backoff
        self._worker_instance = worker_instance
        self._before_end = before_end
        self._processors = processors

    async def execute(self, execution: Execution) -> Outcome:
        """Run what is left of the run; steps that are COMPLETED are not run again."""
        run = execution.run
        with tracer.start_as_current_span(
            "pipeline.run",
            attributes={
                "convergence.org": run.org_slug,
                "convergence.run_id": run.run_id,
                "convergence.pipeline": run.pipeline_id,
            },
        ) as span:
            try:
                with metrics.RUNS_IN_PROGRESS.track_inprogress():
                    outcome = await self._execute(execution)
            except LeaseLost as lost:
                log.warning("run lost to another owner", run_id=run.run_id, reason=lost.message)
                outcome = Outcome.LOST
            span.set_attribute("convergence.outcome", outcome)
            return outcome

    async def _execute(self, execution: Execution) -> Outcome:
        await self._begin(execution)
        work = asyncio.create_task(self._run_steps(execution), name=f"run-{execution.run.run_id}")
        stop = asyncio.create_task(execution.stopped())
        try:
            limit = execution.pipeline.timeout_minutes * 60
            await asyncio.wait({work, stop}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await _cancel(work)
            timed_out = execution.stop_reason is None and work.cancelled()
        finally:
            await _cancel(stop)
            await _cancel(work)
        if not work.cancelled() and (error := work.exception()) is not None:
            raise error
        return await self._end(execution, timed_out=timed_out)

    async def _begin(self, execution: Execution) -> None:
        now = self._services.clock.now()

        def change(run: RunRecord) -> None:
            run.status = RunStatus.RUNNING
            run.start_time = run.start_time or now
            run.worker_instance = self._worker_instance
            run.not_before = None
            run.config_version = execution.pipeline.config_version
            run.steps = _merge_steps(run.steps, execution.pipeline)

        execution.run = await self._update(execution, change)
        for record in execution.run.steps:  # failures that a crash kept from ending the run
            if record.status is StepStatus.FAILED:
                execution.errors[record.step_id] = StepFailed(record.error_message or "failed", code=record.error_code)

    async def _run_steps(self, execution: Execution) -> None:
        waiting = {step.step_id: step for step in execution.pipeline.steps}
        for record in execution.run.steps:
            if record.status.is_final:
                del waiting[record.step_id]
        running: dict[asyncio.Task[None], str] = {}
        try:
            while waiting or running:
                if self._must_stop(execution):
                    waiting.clear()
                for step in _ready(execution, waiting):
                    del waiting[step.step_id]
                    running[asyncio.create_task(self._run_step(execution, step))] = step.step_id
                if not running:
                    return
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    del running[task]
                    task.result()
        finally:
            for task in running:
                await _cancel(task)

    def _must_stop(self, execution: Execution) -> bool:
        """A failed step whose on_failure is stop, or one to be tried again, holds back all that has not begun."""
        failing = {step.step_id for step in execution.pipeline.steps if step.on_failure == "stop"}
        may_retry = self._may_retry(execution)
        return any(
            step_id in failing or (may_retry and isinstance(error, TransientError))
            for step_id, error in execution.errors.items()
        )

    async def _run_step(self, execution: Execution, step: Step) -> None:
        with tracer.start_as_current_span(
            "pipeline.step", attributes={"convergence.step": step.step_id, "convergence.ps_type": step.ps_type}
        ) as span:
            await self._change_step(execution, step.step_id, lambda record: _start_step(record, self._services.clock))
            try:
                result = await self._process(execution, step)
            except LeaseLost:
                raise
            except ConvergenceError as error:
                span.set_status(Status(StatusCode.ERROR, error.code))
                await self._fail_step(execution, step, error)
            else:
                execution.private_results.update(result.private)
                await self._change_step(
                    execution, step.step_id, lambda record: _complete_step(record, result, self._services.clock)
                )
                metrics.STEPS.labels(ps_type=step.ps_type, status=str(StepStatus.COMPLETED)).inc()
                seconds = (execution.run.step(step.step_id).duration_ms or 0) / 1000
                metrics.STEP_SECONDS.labels(ps_type=step.ps_type).observe(seconds)

    async def _process(self, execution: Execution, step: Step) -> StepResult:
        try:
            async with asyncio.timeout(step.timeout_minutes * 60):
                processor = load_processor(step.ps_type, package=self._processors)
                config = fill(step.config, self._template_values(execution))
                return await processor.engine.execute(config, self._context(execution, step))
        except TimeoutError as error:
            raise StepFailed(
                f"step {step.step_id} took longer than its {step.timeout_minutes} minutes",
                code="step_timeout",
                hint="Raise timeout_minutes of the step, or ask for fewer days.",
            ) from error
        except ConvergenceError:
            raise
        # A processor is a plugin: whatever it raises ends its own step and never the worker.
        except Exception as error:
            log.exception("step raised what is not ours", step_id=step.step_id, ps_type=step.ps_type)
            raise StepFailed(
                f"step {step.step_id} broke: {type(error).__name__}: {redact(str(error))}", code="step_broken"
            ) from error

    def _template_values(self, execution: Execution) -> dict[str, Any]:
        run = execution.run
        named = {
            "org_slug": run.org_slug,
            "start_date": run.start_date,
            "end_date": run.end_date,
            "pipeline_id": run.pipeline_id,
            "run_id": run.run_id,
            "environment": self._services.platform.environment,
        }
        return build_values(named, {**execution.pipeline.parameters, **run.parameters})

    def _context(self, execution: Execution, step: Step) -> StepContext:
        run, services = execution.run, self._services
        return StepContext(
            run=RunInfo(run.run_id, run.pipeline_id, str(run.trigger_type), run.trigger_by, run.fence),
            step_id=step.step_id,
            platform=services.platform,
            warehouse=services.warehouse,
            http=services.http,
            credentials=services.credentials,
            security=services.security,
            state=services.state,
            catalog=services.catalog,
            uploads=services.uploads,
            clock=services.clock,
            log=log.bind(org_slug=run.org_slug, run_id=run.run_id, step_id=step.step_id),
            folder=execution.pipeline.folder,
            org=None if run.org_slug == PLATFORM_ORG else services.platform.org(run.org_slug),
            window=run.window,
            parameters={**execution.pipeline.parameters, **run.parameters, **execution.private_parameters},
            limits=services.limits,
            outputs={record.step_id: record.metadata for record in run.steps if record.status is StepStatus.COMPLETED},
            report=lambda rows: execution.progress(step.step_id, rows),
        )

    async def _fail_step(self, execution: Execution, step: Step, error: ConvergenceError) -> None:
        execution.errors[step.step_id] = error
        will_retry = isinstance(error, TransientError) and self._may_retry(execution)
        now = self._services.clock.now()

        def change(record: StepRecord) -> None:
            record.status = StepStatus.PENDING if will_retry else StepStatus.FAILED
            record.end_time = now
            record.error_code, record.error_message = error.code, describe(error)

        await self._change_step(execution, step.step_id, change)
        if not will_retry:
            metrics.STEPS.labels(ps_type=step.ps_type, status=str(StepStatus.FAILED)).inc()
        level = log.warning if will_retry or step.on_failure == "continue" else log.error
        level(
            "step failed",
            run_id=execution.run.run_id,
            step_id=step.step_id,
            code=error.code,
            error=describe(error),
            on_failure=step.on_failure,
            is_alert=step.on_failure == "alert",
            will_retry=will_retry,
        )

    def _may_retry(self, execution: Execution) -> bool:
        return execution.run.attempt < execution.pipeline.retry_attempts

    async def _end(self, execution: Execution, *, timed_out: bool) -> Outcome:
        if execution.stop_reason is StopReason.LEASE_LOST:
            return Outcome.LOST
        if execution.stop_reason is StopReason.SHUTDOWN:
            await self._put_back(execution, delay=timedelta(), count_attempt=False)
            return Outcome.RELEASED
        transient = [error for error in execution.errors.values() if isinstance(error, TransientError)]
        if transient and execution.stop_reason is None and not timed_out and self._may_retry(execution):
            await self._put_back(execution, delay=self._delay(execution, transient), count_attempt=True)
            return Outcome.RETRY
        await self._before_end(execution.run)  # whoever sees the end may ask for the next run at once
        execution.run = await self._update(execution, lambda run: self._conclude(run, execution, timed_out=timed_out))
        _log_end(execution.run)
        return Outcome.FINISHED

    def _delay(self, execution: Execution, errors: list[TransientError]) -> timedelta:
        backoff: timedelta = self._retry_backoff * 2**execution.run.attempt
        asked = max((timedelta(seconds=error.retry_after or 0) for error in errors), default=timedelta())
        return max(backoff, asked)

    async def _put_back(self, execution: Execution, *, delay: timedelta, count_attempt: bool) -> None:
        not_before = self._services.clock.now() + delay

        def change(run: RunRecord) -> None:
            run.status = RunStatus.PENDING
            run.not_before = not_before
            run.attempt += int(count_attempt)
            for step in run.steps:
                if step.status is StepStatus.RUNNING:
                    step.status = StepStatus.PENDING
            for error in execution.errors.values():
                run.fail(error)

        execution.run = await self._update(execution, change)

    def _conclude(self, run: RunRecord, execution: Execution, *, timed_out: bool) -> None:
        now = self._services.clock.now()
        run.end_time = now
        if execution.stop_reason is StopReason.CANCEL:
            run.status, final = RunStatus.CANCELLED, StepStatus.CANCELLED
            run.fail(Cancelled("cancelled on request"))
        elif timed_out:
            run.status, final = RunStatus.FAILED, StepStatus.CANCELLED
            run.fail(_run_timeout(execution.pipeline))
        elif self._must_stop(execution):
            run.status, final = RunStatus.FAILED, StepStatus.SKIPPED
            run.fail(_first_error(execution))
        else:
            run.status, final = RunStatus.COMPLETED, StepStatus.SKIPPED
            run.error_code = run.error_message = None
        for step in run.steps:
            if step.status is StepStatus.RUNNING:
                step.status, step.end_time = StepStatus.CANCELLED, now
            elif step.status is StepStatus.PENDING:
                step.status = final
        run.metadata = {**run.metadata, **_summary(run, execution)}

    async def _change_step(self, execution: Execution, step_id: str, change: Callable[[StepRecord], None]) -> None:
        execution.run = await self._update(execution, lambda run: change(run.step(step_id)))

    async def _update(self, execution: Execution, change: Callable[[RunRecord], None]) -> RunRecord:
        run = execution.run
        return await self._runs.update(run.org_slug, run.run_id, change, fence=run.fence)


def _ready(execution: Execution, waiting: Mapping[str, Step]) -> list[Step]:
    """Steps whose dependencies have ended. A failure that does not stop the run lets its dependents go on."""
    ended = {record.step_id for record in execution.run.steps if record.status.is_final}
    return [step for step in waiting.values() if ended.issuperset(step.depends_on)]


def _merge_steps(records: list[StepRecord], pipeline: Pipeline) -> list[StepRecord]:
    """The records in the pipeline's order: what a changed file adds is new, what a crash left running is pending."""
    known = {record.step_id: record for record in records}
    merged = []
    for index, step in enumerate(pipeline.steps):
        record = known.get(step.step_id) or StepRecord(step_id=step.step_id, step_index=index, ps_type=step.ps_type)
        if record.status is StepStatus.RUNNING:
            record.status = StepStatus.PENDING
        merged.append(record)
    return merged


def _start_step(record: StepRecord, clock: Clock) -> None:
    record.status = StepStatus.RUNNING
    record.attempt += 1
    record.start_time, record.end_time = clock.now(), None
    record.error_code = record.error_message = None


def _complete_step(record: StepRecord, result: StepResult, clock: Clock) -> None:
    record.status = StepStatus.COMPLETED
    record.end_time = clock.now()
    record.rows_processed = result.rows_processed
    record.metadata = dict(result.metadata)
    if result.warnings:
        record.metadata["warnings"] = list(result.warnings)


def _summary(run: RunRecord, execution: Execution) -> dict[str, Any]:
    alerts = [step.step_id for step in execution.pipeline.steps if step.on_failure == "alert"]
    warnings = [warning for step in run.steps for warning in step.metadata.get("warnings", [])]
    failed = [step for step in run.steps if step.status is StepStatus.FAILED]
    summary: dict[str, Any] = {"rows_processed": sum(step.rows_processed for step in run.steps)}
    if warnings:
        summary["warnings"] = warnings
    if failed:
        summary["failed_steps"] = [step.step_id for step in failed]
    if raised := [step for step in failed if step.step_id in alerts]:
        summary["alerts"] = [{"step_id": step.step_id, "message": step.error_message} for step in raised]
    return summary


def _first_error(execution: Execution) -> ConvergenceError:
    """The error of the first failed step in the pipeline's order that stops the run."""
    for step in execution.pipeline.steps:
        error = execution.errors.get(step.step_id)
        if error is not None and step.on_failure == "stop":
            return error
    return next(iter(execution.errors.values()))


def _run_timeout(pipeline: Pipeline) -> StepFailed:
    return StepFailed(
        f"the run took longer than its {pipeline.timeout_minutes} minutes",
        code="run_timeout",
        hint="Raise timeout_minutes of the pipeline, or ask for fewer days.",
    )


def _log_end(run: RunRecord) -> None:
    metrics.RUNS.labels(pipeline=run.pipeline_id, status=str(run.status)).inc()
    metrics.RUN_SECONDS.labels(pipeline=run.pipeline_id).observe((run.duration_ms or 0) / 1000)
    log.info(
        "run ended",
        run_id=run.run_id,
        org_slug=run.org_slug,
        pipeline_id=run.pipeline_id,
        status=str(run.status),
        duration_ms=run.duration_ms,
        rows=run.metadata.get("rows_processed"),
        error=run.error_message,
    )


async def _cancel(task: asyncio.Task[Any]) -> None:
    """Cancel and wait until it has ended, whatever it ends with."""
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # seen: of two steps that fail at once, one is raised and the other is no news
