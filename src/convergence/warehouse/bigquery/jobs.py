"""Jobs of BigQuery: started under ids of our own, found where they run already, waited for, repeated where safe."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import hashlib
import random
import re
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Final, Generic, Literal, TypeVar, cast

from google.api_core.retry import Retry, if_exception_type
from google.cloud import bigquery

from convergence.kit.clock import Clock, SystemClock
from convergence.warehouse.bigquery.errors import (
    DRIVER_ERRORS,
    Failure,
    Verdict,
    classify,
    is_missing_job,
    read_failure,
    read_job_failure,
    translate,
)

T = TypeVar("T")
J = TypeVar("J", bigquery.QueryJob, bigquery.LoadJob)
Parameter = bigquery.ScalarQueryParameter | bigquery.ArrayQueryParameter
Stage = Literal["query", "script", "load"]

_STARTS: Final = 10  # requests under one id before its outcome is left open
_UNSEEN: Final = timedelta(seconds=200)  # how long a job that exists may not be found
_GRACE: Final = timedelta(seconds=30)  # for BigQuery to stop a job that is over its time
_POLLS: Final = (timedelta(seconds=0.1), timedelta(seconds=2))  # the first wait for a job, and the longest
_BACKOFF: Final = (1.0, 60.0)  # ceiling of the first wait after a failure in seconds, and of all of them
# A tuple goes to the upload alone: every other request repeats its timeout in a header that must be one number.
_TIMEOUT: Final = 300.0
_UPLOAD_TIMEOUT: Final = (60.0, _TIMEOUT)
_UNSPELLABLE: Final = re.compile(r"[^a-z0-9_-]")
_ONCE: Final = Retry(predicate=if_exception_type())  # of no type: the client never repeats, we do


@dataclass(frozen=True, slots=True)
class _Request(Generic[J]):
    """What to start. `begin` blocks and may be called again; `unseen` stands for a job that was never seen."""

    stage: Stage
    key: str | None
    begin: Callable[[str], J]
    unseen: Callable[[str], J]
    landed: Callable[[], Awaitable[bool]] | None = None
    timeout: timedelta | None = None


@dataclass(frozen=True, slots=True)
class _Started(Generic[J]):
    """A job that exists. `found`: it did before we asked for it."""

    job: J
    found: bool = False


@dataclass(frozen=True, slots=True)
class _Outcome(Generic[J]):
    """How one attempt ended, and with a failure: what to do about it."""

    job: J
    failure: Failure | None = None
    verdict: Verdict = Verdict.FAIL
    found: bool = False


class Jobs:
    """Starts BigQuery jobs under ids of our own and waits for them; every start may be repeated.

    A key names one effect: whoever asks again under a key gets the job that has done it, or that is doing it, wherever
    it was started. A job that failed before the call is repeated; BigQuery has rolled it back.
    """

    def __init__(
        self,
        client: bigquery.Client,
        *,
        location: str,
        attempts: int = 6,
        threads: int = 10,  # as many connections as the client's session keeps
        clock: Clock | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.started: Counter[str] = Counter()
        self._client = client
        self._location = location
        self._attempts = attempts
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="bigquery")
        self._clock = clock or SystemClock()
        self._chance = chance

    async def query(
        self,
        sql: str,
        *,
        key: str | None = None,
        parameters: Sequence[Parameter] = (),
        labels: Mapping[str, str] | None = None,
        max_bytes: int | None = None,
        timeout: timedelta | None = None,  # noqa: ASYNC109 - BigQuery keeps the time
        default_dataset: bigquery.DatasetReference | None = None,
        destination: bigquery.TableReference | None = None,
    ) -> bigquery.QueryJob:
        """Run one statement to its end; its rows are not fetched. Rows of `destination` are replaced.

        Without a key the statement is of this call alone, and is cancelled with it.

        Raises:
            QueryRejected: it would read more than `max_bytes`; nothing ran.
        """
        config = _query_config(parameters, labels, default_dataset)
        if max_bytes is not None:
            config.maximum_bytes_billed = max_bytes
        if timeout is not None:
            config.job_timeout_ms = max(1, round(timeout.total_seconds() * 1000))
        if destination is not None:
            config.destination = destination
            config.write_disposition = bigquery.WriteDisposition.WRITE_TRUNCATE
        return await self._run(_Request("query", key, self._query(sql, config), self._unseen(sql), timeout=timeout))

    async def script(
        self,
        sql: str,
        *,
        key: str,
        parameters: Sequence[Parameter] = (),
        labels: Mapping[str, str] | None = None,
        landed: Callable[[], Awaitable[bool]] | None = None,
        default_dataset: bigquery.DatasetReference | None = None,
    ) -> bigquery.QueryJob:
        """Run several statements as one job.

        `landed` is asked before a failed or lost job is repeated: whether its effect is there after all. If it is, the
        job comes back as it was last seen, failed or without a state.
        """
        config = _query_config(parameters, labels, default_dataset)
        return await self._run(_Request("script", key, self._query(sql, config), self._unseen(sql), landed))

    async def load(
        self,
        parquet: BinaryIO | Path,
        table: bigquery.TableReference,
        *,
        key: str,
        schema: Sequence[bigquery.SchemaField],
        write_disposition: str,
        create_disposition: str = bigquery.CreateDisposition.CREATE_IF_NEEDED,
        labels: Mapping[str, str] | None = None,
        partitioning: bigquery.TimePartitioning | None = None,
        clustering: Sequence[str] = (),
    ) -> bigquery.LoadJob:
        """Load one Parquet file atomically. A table may name a partition: `usage$20260102`."""
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            schema=list(schema),
            autodetect=False,
            decimal_target_types=[bigquery.DecimalTargetType.NUMERIC, bigquery.DecimalTargetType.BIGNUMERIC],
            write_disposition=write_disposition,
            create_disposition=create_disposition,
            labels=build_labels(labels),
        )
        options = bigquery.ParquetOptions()  # type: ignore[no-untyped-call] # google.cloud.bigquery
        options.enable_list_inference = True
        config.parquet_options = options
        config.time_partitioning = partitioning
        config.clustering_fields = list(clustering) or None
        unseen = functools.partial(bigquery.LoadJob, source_uris=None, destination=table, client=self._client)
        return await self._run(_Request("load", key, self._upload(parquet, table, config), unseen))

    async def dry_run(
        self,
        sql: str,
        *,
        parameters: Sequence[Parameter] = (),
        default_dataset: bigquery.DatasetReference | None = None,
    ) -> bigquery.QueryJob:
        """What a statement would read: statement_type, referenced_tables, total_bytes_processed. Nothing runs."""
        config = _query_config(parameters, None, default_dataset)
        config.dry_run = True
        config.use_query_cache = False
        begin = self._query(sql, config)
        return await self.call(lambda: begin(build_job_id("query", uuid.uuid4().hex, 1)))

    async def call(self, request: Callable[[], T]) -> T:
        """A blocking request that may be repeated, in the pool: with retries, and without a foreign exception."""
        asked = 0
        while True:
            asked += 1
            outcome = await self._ask(request)
            if not isinstance(outcome, Failure):
                return outcome
            if classify(outcome, of_job=False) is not Verdict.SAME_ID or asked >= self._attempts:
                raise translate(outcome, location=self._location) from outcome.cause
            await self._pause(asked)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _query(self, sql: str, config: bigquery.QueryJobConfig) -> Callable[[str], bigquery.QueryJob]:
        def begin(job_id: str) -> bigquery.QueryJob:
            return self._client.query(
                sql,
                job_config=config,
                job_id=job_id,
                location=self._location,
                retry=_ONCE,
                job_retry=None,
                timeout=_TIMEOUT,
            )

        return begin

    def _unseen(self, sql: str) -> Callable[[str], bigquery.QueryJob]:
        return functools.partial(bigquery.QueryJob, query=sql, client=self._client)

    def _upload(
        self, parquet: BinaryIO | Path, table: bigquery.TableReference, config: bigquery.LoadJobConfig
    ) -> Callable[[str], bigquery.LoadJob]:
        def begin(job_id: str) -> bigquery.LoadJob:
            with contextlib.ExitStack() as files:
                file = files.enter_context(parquet.open("rb")) if isinstance(parquet, Path) else parquet
                return self._client.load_table_from_file(
                    file,
                    table,
                    rewind=True,
                    size=file.seek(0, 2),  # a small file goes in one request
                    num_retries=0,
                    job_id=job_id,
                    location=self._location,
                    job_config=config,
                    timeout=_UPLOAD_TIMEOUT,
                )

        return begin

    async def _run(self, request: _Request[J]) -> J:
        key = request.key or uuid.uuid4().hex
        attempt = failures = 0
        while True:
            attempt += 1
            outcome = await self._attempt(request, build_job_id(request.stage, key, attempt))
            if outcome.failure is None or await self._has_landed(request, outcome):
                return outcome.job
            failures += not outcome.found
            if outcome.verdict is not Verdict.NEW_ID or failures >= self._attempts:
                raise translate(outcome.failure, location=self._location) from outcome.failure.cause
            if not outcome.found:
                await self._pause(failures)

    async def _has_landed(self, request: _Request[J], outcome: _Outcome[J]) -> bool:
        """Whether the effect is there all the same: a commit whose reply was lost looks like a failed job."""
        if outcome.verdict is Verdict.FAIL or request.landed is None:
            return False
        return await request.landed()

    async def _attempt(self, request: _Request[J], job_id: str) -> _Outcome[J]:
        try:
            return await self._begin_and_wait(request, job_id)
        except asyncio.CancelledError:
            if request.key is None:
                with contextlib.suppress(RuntimeError):  # of a pool that is closed
                    self._pool.submit(self._cancel, job_id)
            raise

    async def _begin_and_wait(self, request: _Request[J], job_id: str) -> _Outcome[J]:
        started = await self._begin(request, job_id)
        if isinstance(started, Failure):
            return _Outcome(request.unseen(job_id), started, classify(started, of_job=False))
        self.started[request.stage] += not started.found
        seen = await self._wait(request, started.job)
        if isinstance(seen, Failure):
            return _Outcome(started.job, seen, classify(seen, of_job=False))
        if seen.error_result is None:
            return _Outcome(seen)
        failure = read_job_failure(seen.error_result)
        verdict = Verdict.NEW_ID if started.found else classify(failure, of_job=True)
        return _Outcome(seen, failure, verdict, started.found)

    async def _begin(self, request: _Request[J], job_id: str) -> _Started[J] | Failure:
        """Ask until BigQuery has the job or refuses it; after ten tries it stays open which."""
        asked = 0
        while True:
            asked += 1
            outcome = await self._ask(functools.partial(request.begin, job_id))
            if not isinstance(outcome, Failure):
                return _Started(outcome)
            verdict = classify(outcome, of_job=False)
            if verdict is Verdict.ATTACH:
                seen = await self._see(request, job_id)
                return seen if isinstance(seen, Failure) else _Started(seen, found=asked == 1)
            if verdict is not Verdict.SAME_ID or asked >= _STARTS:
                return outcome
            await self._pause(asked)

    async def _wait(self, request: _Request[J], job: J) -> J | Failure:
        stops = self._clock.now() + request.timeout + _GRACE if request.timeout is not None else None
        wait, longest = _POLLS
        while job.state != "DONE":
            if stops is not None and self._clock.now() >= stops:
                await self._ask(functools.partial(self._cancel, job.job_id))
                return Failure("timeout", f"the statement took longer than {request.timeout}")
            await self._clock.sleep(wait)
            wait = min(wait * 1.5, longest)
            seen = await self._see(request, job.job_id)
            if isinstance(seen, Failure):
                return seen
            job = seen
        return job

    async def _see(self, _request: _Request[J], job_id: str) -> J | Failure:
        """The job as it is now. One that exists may stay invisible for minutes."""
        stops = self._clock.now() + _UNSEEN
        asked = 0
        while True:
            asked += 1
            outcome = await self._ask(functools.partial(self._get, job_id))
            if not isinstance(outcome, Failure):
                return cast("J", outcome)
            if not is_missing_job(outcome) and classify(outcome, of_job=False) is not Verdict.SAME_ID:
                return outcome
            if self._clock.now() >= stops:
                return Failure("unreachable", f"the job {job_id} cannot be seen: {outcome.message}", outcome.cause)
            await self._pause(asked)

    def _get(self, job_id: str) -> object:
        return self._client.get_job(job_id, location=self._location, retry=_ONCE, timeout=_TIMEOUT)

    def _cancel(self, job_id: str) -> None:
        with contextlib.suppress(*DRIVER_ERRORS):
            self._client.cancel_job(job_id, location=self._location, retry=_ONCE, timeout=_TIMEOUT)

    async def _ask(self, request: Callable[[], T]) -> T | Failure:
        context = contextvars.copy_context()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, context.run, request)
        except DRIVER_ERRORS as error:
            return read_failure(error)

    async def _pause(self, failures: int) -> None:
        """Full jitter: those who failed together do not come back together."""
        first, longest = _BACKOFF
        ceiling = min(longest, first * 2 ** (failures - 1))
        await self._clock.sleep(timedelta(seconds=self._chance() * ceiling))


def build_job_id(stage: Stage, key: str, attempt: int) -> str:
    """The id of one attempt: the same for whoever asks again."""
    return f"cvg-{stage}-{hashlib.sha256(key.encode()).hexdigest()[:32]}-a{attempt}"


def build_labels(labels: Mapping[str, str] | None) -> dict[str, str]:
    """Labels as BigQuery takes them: lower case, digits, `_` and `-`, up to 63 characters, keys from a letter on."""
    spelled = {_spell(name): _spell(value) for name, value in (labels or {}).items()}
    return {name if name[:1].isalpha() else f"x{name}"[:63]: value for name, value in spelled.items()}


def _spell(text: str) -> str:
    return _UNSPELLABLE.sub("-", text.lower())[:63]


def _query_config(
    parameters: Sequence[Parameter],
    labels: Mapping[str, str] | None,
    default_dataset: bigquery.DatasetReference | None,
) -> bigquery.QueryJobConfig:
    config = bigquery.QueryJobConfig(query_parameters=list(parameters), labels=build_labels(labels))
    if default_dataset is not None:
        config.default_dataset = default_dataset
    return config
