"""openai.usage: what was used, from all ten usage endpoints, day by day."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from convergence.connectors import ProviderClient
from convergence.errors import ConvergenceError, TooLarge
from convergence.kit.clock import today
from convergence.kit.jsontext import dumps
from convergence.kit.window import Window
from convergence.processors.openai._client import open_client
from convergence.processors.openai._reports import USAGE_REPORTS
from convergence.steps import StepContext, StepResult
from convergence.steps.loading import DayLoad, Fetched, Published, Rejected, publish_days
from convergence.steps.reports import (
    Reading,
    Report,
    WindowSizes,
    build_rows,
    choose_window,
    collapse_repeats,
    read_report,
)

if TYPE_CHECKING:
    import pyarrow as pa

TABLE = "openai_usage_daily_raw"
STREAM = "openai.usage"
MOST_DAYS = 31  # buckets of one page
DIMENSIONS = (
    *("usage_date", "endpoint", "project_id", "user_id", "api_key_id", "model", "batch", "service_tier"),
    *("size", "source", "vector_store_id", "context_level"),
)
_NAMES = tuple(report.name for report in USAGE_REPORTS)


class Config(BaseModel):
    """`restatement_days` before the window are read again by a daily run; `endpoints` narrows what is read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    restatement_days: int = Field(default=3, ge=0, le=45)
    endpoints: tuple[str, ...] = Field(default=_NAMES, min_length=1)
    requests_per_second: float | None = Field(default=None, gt=0)

    def reports(self) -> tuple[Report, ...]:
        return tuple(report for report in USAGE_REPORTS if report.name in self.endpoints)


def get_engine() -> UsageProcessor:
    return UsageProcessor()


class UsageProcessor:
    """Reads windows of a few days, each whole over all endpoints, and publishes one while it reads the next."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        client = await open_client(context, config.requests_per_second)
        source = _UsageSource(context, client, config.reports())
        try:
            async with asyncio.TaskGroup() as group:
                publisher = _Publisher(context, source, group)
                await _load(source, publisher, choose_window(context, config.restatement_days))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        total = publisher.total
        total.check()
        return StepResult(total.rows, {**total.metadata, "requests_bytes": source.bytes_read}, source.warnings)


async def _load(source: _UsageSource, publisher: _Publisher, whole: Window) -> None:
    sizes = WindowSizes(MOST_DAYS)
    for window in sizes.cut(whole):
        try:
            fetched, largest = await source.read(window)
        except ConvergenceError as error:
            if isinstance(error, TooLarge) and sizes.shrink(window):
                continue
            await publisher.settle()  # the days that were read before this window still count
            raise
        sizes.grow(window, largest)
        await publisher.put(fetched)
    await publisher.settle()


class _Publisher:
    """One window behind the reading and never more, which bounds the memory."""

    def __init__(self, context: StepContext, source: _UsageSource, group: asyncio.TaskGroup) -> None:
        self._context = context
        self._source = source
        self._group = group
        self._under_way: asyncio.Task[Published] | None = None
        self.total = Published()

    async def put(self, fetched: Fetched) -> None:
        """Begin to publish it, once the window before is in."""
        await self.settle()
        publish = publish_days(self._context, DayLoad(TABLE, STREAM), fetched, fetch_again=self._source.read_again)
        self._under_way = self._group.create_task(publish)

    async def settle(self) -> None:
        """Wait until everything that was put is in."""
        if self._under_way is None:
            return
        self.total.extend(await self._under_way)
        self._under_way = None
        self._context.report(self.total.rows)


class _UsageSource:
    """All endpoints of a window, two at a time."""

    def __init__(self, context: StepContext, client: ProviderClient, reports: Sequence[Report]) -> None:
        self._context = context
        self._client = client
        self._reports = reports
        self._slots = asyncio.Semaphore(2)
        self._unknown: set[str] = set()
        self.bytes_read = 0

    @property
    def warnings(self) -> tuple[str, ...]:
        if not self._unknown:
            return ()
        return (f"OpenAI sends fields that no column takes: {', '.join(sorted(self._unknown))}",)

    async def read_again(self, window: Window) -> Fetched:
        fetched, _ = await self.read(window)
        return fetched

    async def read(self, window: Window) -> tuple[Fetched, int]:
        """The window's rows, and the bytes of its largest endpoint."""
        readings = await _gather([self._read_report(report, window) for report in self._reports])
        for reading in readings:
            self._unknown |= reading.unknown_fields
            self.bytes_read += reading.bytes_read
        rows, rejects = await asyncio.to_thread(self._assemble, readings)
        return Fetched(window, rows, rejects), max(reading.bytes_read for reading in readings)

    def _assemble(self, readings: Sequence[Reading]) -> tuple[pa.Table, list[Rejected]]:
        schema = self._context.catalog.schema(TABLE)
        constants = {report.name: {"endpoint": report.name} for report in self._reports}
        rows = build_rows(readings, schema, constants, today(self._context.clock))
        rows, impossible = split_impossible(rows)
        rows = collapse_repeats(rows, DIMENSIONS, "OpenAI usage rows")
        return rows, [reject for reading in readings for reject in reading.rejects] + impossible

    async def _read_report(self, report: Report, window: Window) -> Reading:
        async with self._slots:
            return await read_report(self._client, report, window)


async def _gather(reads: Sequence[Any]) -> list[Reading]:
    """All of them, or the first error with the others stopped."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(read) for read in reads]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def split_impossible(rows: pa.Table) -> tuple[pa.Table, list[Rejected]]:
    """Rows whose cached and cache-write tokens exceed the input tokens they are part of are not priced: refused."""
    import pyarrow as pa
    import pyarrow.compute as pc

    zero = pa.scalar(0, pa.int64())
    parts = pc.add(
        pc.fill_null(rows["input_cached_tokens"], zero), pc.fill_null(rows["input_cache_write_tokens"], zero)
    )
    is_bad = pc.greater(parts, pc.fill_null(rows["input_tokens"], zero))
    if not pc.any(is_bad).as_py():
        return rows, []
    reason = "cached and cache-write tokens exceed input_tokens"
    bad = [
        Rejected(row["usage_date"], reason, "input_tokens", dumps({**row, "usage_date": str(row["usage_date"])}))
        for row in rows.filter(is_bad).to_pylist()
    ]
    return rows.filter(pc.invert(is_bad)), bad
