"""Claims runs, keeps their lease alive while they execute, and finds what a crash left behind."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta

import structlog

from convergence.catalog import Catalog
from convergence.errors import (
    ConfigError,
    ConvergenceError,
    LeaseLost,
    NotFound,
    StepFailed,
    StoreUnavailable,
    TransientError,
)
from convergence.kit import metrics
from convergence.kit.clock import Clock
from convergence.kit.ids import new_id
from convergence.organizations.service import Organizations
from convergence.pipelines.executor import Execution, Executor, Outcome, Progress, StopReason
from convergence.pipelines.models import RunRecord, RunStatus, StepStatus
from convergence.pipelines.quotas import Quotas
from convergence.pipelines.runs import RunStore
from convergence.queue import Message, PullQueue, Queue
from convergence.state import Lease, StateStore

log = structlog.get_logger(__name__)

_CLAIM_WAIT = timedelta(seconds=1)
_NEVER_SECONDS = 366 * 86_400.0
_BUSY_DELAY = timedelta(seconds=1)  # until a run whose pipeline or slot is taken is looked at again


class Worker:
    """Executes up to `concurrency` runs at a time; one run of a pipeline and organization at a time everywhere."""

    def __init__(
        self,
        *,
        instance: str,
        queue: Queue,
        state: StateStore,
        runs: RunStore,
        quotas: Quotas,
        organizations: Organizations,
        catalog: Catalog,
        executor: Executor,
        clock: Clock,
        lease: timedelta,
        heartbeat: timedelta,
        concurrency: int,
        sweep_interval: timedelta = timedelta(seconds=30),
    ) -> None:
        self.instance = instance
        self._queue = queue
        self._state = state
        self._runs = runs
        self._quotas = quotas
        self._organizations = organizations
        self._catalog = catalog
        self._executor = executor
        self._clock = clock
        self._lease = lease
        self._heartbeat = heartbeat
        self._concurrency = concurrency
        self._sweep_interval = sweep_interval
        self._executions: dict[str, Execution] = {}
        self._deliveries = 0
        self._is_stopping = asyncio.Event()
        self.progress: Progress = lambda _step, _rows: None

    async def run(self) -> None:
        """Work until `stop`. Where the queue pushes, its messages arrive by `take` and only the sweeper runs here."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sweep_forever(), name="sweeper")
            if isinstance(self._queue, PullQueue):
                for number in range(self._concurrency):
                    group.create_task(self._work_forever(self._queue), name=f"worker-{number}")

    async def stop(self) -> None:
        """Take no more; runs under way go back to PENDING, for the next worker to continue at once."""
        self._is_stopping.set()
        for execution in self._executions.values():
            execution.stop(StopReason.SHUTDOWN)

    def cancel(self, run_id: str) -> None:
        """Cancel a run that this worker executes; others see the request at their next heartbeat."""
        if execution := self._executions.get(run_id):
            execution.stop(StopReason.CANCEL)

    async def _work_forever(self, queue: PullQueue) -> None:
        while not self._is_stopping.is_set():
            try:
                message = await queue.claim(wait=_CLAIM_WAIT)
                if message is not None:
                    await self.work(message)
            except StoreUnavailable as error:
                log.warning("no work while the store is away", error=error.message)
                await self._clock.sleep(_BUSY_DELAY)
            # The loop outlives whatever one message brings; the sweeper brings the run again.
            except Exception:
                log.exception("message not handled")
                await self._clock.sleep(_BUSY_DELAY)

    async def take(self, message: Message, /, *, within: timedelta) -> None:
        """Handle a message that was pushed here; a run that takes longer than `within` is handed back.

        Raises:
            TransientError: this worker is stopping, or has no room; the message is to be delivered again.
        """
        if self._is_stopping.is_set() or self._deliveries >= self._concurrency:
            raise TransientError("this worker takes no more now", code="worker_busy", retry_after=1)
        self._deliveries += 1
        try:
            await self.work(message, within=within)
        finally:
            self._deliveries -= 1

    async def work(self, message: Message, /, *, within: timedelta | None = None) -> None:
        """Handle one message: execute its run, or put it off."""
        run = await self._runs.find_hot(message.org_slug, message.run_id)
        if run is None or run.status.is_final:
            await self._queue.done(message)
            return
        delay = await self._attempt(run, message, within)
        if delay is None:
            await self._queue.done(message)
        else:
            await self._queue.retry(message, delay=delay)

    async def _attempt(self, run: RunRecord, message: Message, within: timedelta | None) -> timedelta | None:
        """Execute the run; None when it has ended or is another's, else when to look again."""
        now = self._clock.now()
        if run.not_before is not None and run.not_before > now:
            return run.not_before - now
        # A name of its own for each attempt: the same owner would get the lease a second time.
        owner = f"{self.instance}/{new_id('attempt')}/{run.run_id}"
        lease = await self._state.acquire(lease_key(run), owner, self._lease)
        if lease is None:
            return _BUSY_DELAY
        try:
            if not await self._take_slot(run):
                return _BUSY_DELAY
            outcome = await self._own(run, lease, message, within)
        finally:
            await self._state.release(lease)
        return await self._settle(run, outcome)

    async def _settle(self, run: RunRecord, outcome: Outcome) -> timedelta | None:
        if outcome in {Outcome.LOST, Outcome.FINISHED}:
            return None
        if run.trigger_type.waits_for_slot:
            await self._quotas.release(run.org_slug, run.run_id)
        current = await self._runs.find_hot(run.org_slug, run.run_id)
        due = current.not_before if current is not None else None
        return max(timedelta(), due - self._clock.now()) if due is not None else timedelta()

    async def _take_slot(self, run: RunRecord) -> bool:
        if not run.trigger_type.waits_for_slot:
            return True
        plan = await self._organizations.plan(self._organizations.scope(run.org_slug))
        return await self._quotas.take_slot(run.org_slug, run.run_id, plan)

    async def _own(self, run: RunRecord, lease: Lease, message: Message, within: timedelta | None) -> Outcome:
        fence = await next_fence(self._state, run.org_slug, self._clock)
        try:
            run = await self._runs.update(run.org_slug, run.run_id, lambda record: _take(record, fence))
            if run.status.is_final:
                return Outcome.FINISHED
            pipeline = self._catalog.find(run.pipeline_id)
        except (NotFound, ConfigError) as error:
            text = f"pipeline {run.pipeline_id} cannot be loaded: {error.message}"
            return await self._abandon(run, StepFailed(text, code=error.code))
        if run.attempt > pipeline.retry_attempts:  # counted by _count_vain alone
            return await self._abandon(run, _too_long_to_deliver(run))
        execution = Execution(run, pipeline, progress=self.progress)
        outcome = await self._execute(execution, lease, message, within)
        if outcome is Outcome.RELEASED and not self._is_stopping.is_set():
            await self._count_vain(run, execution)
        return outcome

    async def _execute(self, execution: Execution, lease: Lease, message: Message, within: timedelta | None) -> Outcome:
        run_id = execution.run.run_id
        self._executions[run_id] = execution
        if execution.run.is_cancel_requested:
            execution.stop(StopReason.CANCEL)
        if self._is_stopping.is_set():
            execution.stop(StopReason.SHUTDOWN)
        beat = asyncio.create_task(self._keep_alive(execution, lease, message), name=f"heartbeat-{run_id}")
        seconds = within.total_seconds() if within is not None else _NEVER_SECONDS
        alarm = asyncio.get_running_loop().call_later(seconds, execution.stop, StopReason.SHUTDOWN)
        try:
            return await self._executor.execute(execution)
        finally:
            alarm.cancel()
            beat.cancel()
            if self._executions.get(run_id) is execution:
                del self._executions[run_id]

    async def _count_vain(self, before: RunRecord, execution: Execution) -> None:
        """A delivery that ran out of time without ending one step is an attempt, or it would be repeated for ever."""
        if _ended(execution.run) == _ended(before):
            run = execution.run
            await self._runs.update(run.org_slug, run.run_id, _count_attempt, fence=run.fence)

    async def _abandon(self, run: RunRecord, reason: StepFailed) -> Outcome:
        await self._quotas.release(run.org_slug, run.run_id)
        await self._runs.update(run.org_slug, run.run_id, lambda record: self._give_up(record, reason))
        return Outcome.FINISHED

    def _give_up(self, run: RunRecord, reason: StepFailed) -> None:
        run.status, run.end_time = RunStatus.FAILED, self._clock.now()
        run.fail(reason)
        for step in run.steps:
            if not step.status.is_final:
                step.status = StepStatus.SKIPPED

    async def _keep_alive(self, execution: Execution, lease: Lease, message: Message) -> None:
        """Renew the lease; stop the execution before it can expire unrenewed, or when a cancel is asked for."""
        run = execution.run
        misses = 0
        while True:
            await self._clock.sleep(self._heartbeat)
            try:
                if not await self._state.renew(lease, self._lease):
                    execution.stop(StopReason.LEASE_LOST)
                    return
                await self._queue.extend(message)
                misses = 0
                current = await self._runs.find_hot(run.org_slug, run.run_id)
            except StoreUnavailable:
                misses += 1
                if misses >= max(2, int(self._lease / self._heartbeat) - 2):
                    execution.stop(StopReason.LEASE_LOST)
                    return
                continue
            if current is not None and current.is_cancel_requested:
                execution.stop(StopReason.CANCEL)

    async def _sweep_forever(self) -> None:
        while not self._is_stopping.is_set():
            try:
                await self.sweep()
            except ConvergenceError as error:
                log.warning("sweep failed", error=error.message)
            await _wait(self._is_stopping, self._sweep_interval)

    async def sweep(self) -> int:
        """Announce every open run that nobody works on, and heal quotas; the number announced."""
        announced = 0
        open_runs: Mapping[str, set[str]] = defaultdict(set)
        async for run in self._runs.open_runs():
            open_runs[run.org_slug].add(run.run_id)
            if run.trigger_type == "inline":
                await self._abandon_inline(run)
            elif not await self._is_executing(run):
                await self._queue.put(Message(run.org_slug, run.run_id, run.attempt), delay=self._due_in(run))
                announced += 1
        metrics.QUEUE_DEPTH.set(sum(map(len, open_runs.values())))
        await self._heal_quotas(open_runs)
        return announced

    async def _heal_quotas(self, open_runs: Mapping[str, set[str]]) -> None:
        for org in await self._organizations.active_organizations():
            known = set()
            async for run in self._runs.recent_runs(org.org_slug):
                known |= {run.run_id, run.backfill_id or run.run_id}
            await self._quotas.recount(org.org_slug, known=known, running=open_runs.get(org.org_slug, set()))

    async def _is_executing(self, run: RunRecord) -> bool:
        holder = await self._state.holder(lease_key(run))
        return holder is not None and holder.owner.endswith(f"/{run.run_id}")

    async def _abandon_inline(self, run: RunRecord) -> None:
        """An inline run dies with the call that made it: its private parameters are nowhere else."""
        if not await self._is_executing(run):
            lost = StepFailed("the process that ran it ended", code="abandoned", hint="Send the request again.")
            await self._runs.update(run.org_slug, run.run_id, lambda record: self._give_up(record, lost))

    def _due_in(self, run: RunRecord) -> timedelta:
        return max(timedelta(), run.not_before - self._clock.now()) if run.not_before else timedelta()


def lease_key(run: RunRecord) -> str:
    """One run of a pipeline at a time; inline runs do not wait for one another."""
    if run.trigger_type == "inline":
        return f"{run.org_slug}/lease/run/{run.run_id}"
    return f"{run.org_slug}/lease/pipeline/{run.pipeline_id}"


async def next_fence(state: StateStore, org_slug: str, clock: Clock) -> int:
    """A number above every fence given out before, also when the state store was lost: at least the time in ms."""
    key = f"{org_slug}/fence"
    current = await state.count(key, 0) or 0
    moment = int(clock.now().timestamp() * 1000)
    fence = await state.count(key, max(1, moment - current))
    if fence is None:
        raise LeaseLost("no fence was given")
    return fence


def _take(run: RunRecord, fence: int) -> None:
    if not run.status.is_final:
        run.fence = fence


def _count_attempt(run: RunRecord) -> None:
    if not run.status.is_final:
        run.attempt += 1


def _ended(run: RunRecord) -> int:
    return sum(step.status.is_final for step in run.steps)


def _too_long_to_deliver(run: RunRecord) -> StepFailed:
    step = next((step.step_id for step in run.steps if not step.status.is_final), "a step")
    return StepFailed(
        f"step {step} does not end within one delivery of the queue",
        code="delivery_timeout",
        hint="Ask for fewer days, raise CLOUD_TASKS_DEADLINE_SECONDS, or let workers pull: QUEUE_BACKEND=redis.",
    )


async def _wait(event: asyncio.Event, duration: timedelta) -> None:
    try:
        async with asyncio.timeout(duration.total_seconds()):
            await event.wait()
    except TimeoutError:
        return
