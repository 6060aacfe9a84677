"""Reports in daily buckets, read a window at a time: every page of it, as columns."""

from __future__ import annotations

import asyncio
from calendar import monthrange
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from convergence.connectors import CursorToken, PageLayout, ProviderClient
from convergence.connectors.decode import DecodedPage, decode_page
from convergence.errors import ProviderMisbehaved, ProviderRejected, TooLarge
from convergence.kit.clock import today
from convergence.kit.window import Window, midnight
from convergence.steps.context import StepContext
from convergence.steps.loading import DayLoad, Fetched, Published, Rejected, publish_days

if TYPE_CHECKING:
    import pyarrow as pa

    from convergence.catalog.schemas import TableSchema
    from convergence.connectors.strict_rows import Reject

BUCKET_START = "start_time"
"""The column of a layout that holds the start of a row's bucket."""

SCHEDULED = "scheduler"
PAGE_BYTES = 24 * 1024 * 1024  # below the 32 MiB that the client takes; peak memory follows it


@dataclass(frozen=True, slots=True)
class Report:
    """One report endpoint. `dimensions` is what it is grouped by, `layout` what its rows hold.

    `build_params` words the request for a window; the grouping is in it.
    """

    provider: str
    name: str
    path: str
    dimensions: tuple[str, ...]
    layout: PageLayout
    build_params: Callable[[tuple[str, ...], Window], list[tuple[str, str]]]
    pages_a_day: int = 2  # the most that make sense: a page holds a bucket at least

    @property
    def group_by(self) -> str:
        """The grouping as it is kept beside every row."""
        return ",".join(self.dimensions)


@dataclass(slots=True)
class Reading:
    """Rows of one report and window. `bytes_read` is its size on the wire, to choose the next window by."""

    report: Report
    batches: list[pa.RecordBatch] = field(default_factory=list)
    rejects: list[Rejected] = field(default_factory=list)
    unknown_fields: frozenset[str] = frozenset()
    bytes_read: int = 0

    def extend(self, other: Reading) -> None:
        """Add what was read of the same report for other days."""
        self.batches.extend(other.batches)
        self.rejects.extend(other.rejects)
        self.unknown_fields |= other.unknown_fields
        self.bytes_read += other.bytes_read


def choose_window(context: StepContext, restatement_days: int, month_end_days: int = 0) -> Window:
    """The run's days; a daily run reads the days before them again, a backfill exactly what it was asked for.

    A daily run of a month's last day reads at least `month_end_days` before it: what the month's invoice will say.
    """
    days = context.days
    is_latest = len(days) == 1 and days.last >= today(context.clock) - timedelta(days=1)
    if context.run.trigger_type != SCHEDULED and not is_latest:
        return days
    again = max(restatement_days, month_end_days) if _ends_month(days.last) else restatement_days
    return Window(days.start - timedelta(days=again), days.end)


def _ends_month(day: date) -> bool:
    return day.day == monthrange(day.year, day.month)[1]


class WindowSizes:
    """Cuts a window from its end, newest days first, into pieces that keep a page below PAGE_BYTES."""

    def __init__(self, most_days: int) -> None:
        self._most_days = most_days
        self._days = 1
        self._is_refused = False

    def cut(self, whole: Window) -> Iterator[Window]:
        end = whole.end
        while end > whole.start:
            window = Window(max(whole.start, end - timedelta(days=self._days)), end)
            self._is_refused = False
            yield window
            if not self._is_refused:
                end = window.start

    def grow(self, window: Window, largest: int) -> None:
        """`largest` is what one endpoint sent for the window, in bytes."""
        per_day = max(1, largest // len(window))
        self._days = max(1, min(self._most_days, PAGE_BYTES // per_day))

    def shrink(self, window: Window) -> bool:
        """Cut the same days smaller; False when they are one day already."""
        self._is_refused = len(window) > 1
        self._days = max(1, len(window) // 2)
        return self._is_refused


class WindowSource(Protocol):
    """What a stream's windows are read from. `bytes_read` is the size of the last one on the wire."""

    bytes_read: int

    async def read(self, window: Window, /) -> Fetched: ...


async def load_windows(
    context: StepContext, load: DayLoad, source: WindowSource, whole: Window, *, most_days: int
) -> Published:
    """Read and publish a window after the other, newest days first."""
    total, sizes = Published(), WindowSizes(most_days)
    for window in sizes.cut(whole):
        try:
            fetched = await source.read(window)
        except TooLarge:
            if not sizes.shrink(window):
                raise
            continue
        sizes.grow(window, source.bytes_read)
        total.extend(await publish_days(context, load, fetched, fetch_again=source.read))
        context.report(total.rows)
    return total


async def read_report(client: ProviderClient, report: Report, window: Window) -> Reading:
    """All pages of a window, in one piece. A cursor that stops working starts the window again, once.

    Raises:
        TooLarge: page_too_large: ask for fewer days.
        ProviderMisbehaved: an endless or lost cursor, or a bucket that is no UTC day.
    """
    (reading,) = await read_views(client, (report,), window)
    return reading


async def read_views(client: ProviderClient, views: Sequence[Report], window: Window) -> list[Reading]:
    """As `read_report`, where the same pages hold several kinds of rows. The first view words the request."""
    try:
        return await _read_pages(client, views, window)
    except _CursorRefused:
        try:
            return await _read_pages(client, views, window)
        except _CursorRefused as again:
            raise again.rejection from None


class _CursorRefused(Exception):
    def __init__(self, rejection: ProviderRejected) -> None:
        super().__init__(str(rejection))
        self.rejection = rejection


async def _read_pages(client: ProviderClient, views: Sequence[Report], window: Window) -> list[Reading]:
    readings, report = [Reading(view) for view in views], views[0]
    pages = client.pages(
        report.path,
        report.build_params(report.dimensions, window),
        CursorToken(),
        stream=f"{report.provider}.{report.name}",
        window=f"{window.start}_{window.end}",
        max_pages=report.pages_a_day * len(window) + 10,
    )
    try:
        async for page in pages:
            for reading in readings:
                decoded = await asyncio.to_thread(decode_page, page.body, reading.report.layout)
                _add_page(reading, decoded, len(page.body), window)
    except ProviderRejected as error:
        if error.status == 400 and readings[0].bytes_read:
            raise _CursorRefused(error) from error
        raise
    return readings


def _add_page(reading: Reading, page: DecodedPage, size: int, window: Window) -> None:
    _check_buckets(page.rows)
    reading.batches.append(page.rows)
    reading.rejects.extend(_reject(reject, window) for reject in page.rejects)
    reading.unknown_fields |= page.unknown_fields
    reading.bytes_read += size


def _check_buckets(rows: pa.RecordBatch) -> None:
    """A bucket that starts inside a day is a part of it, and must never replace the day."""
    import pyarrow.compute as pc

    starts = pc.unique(rows[BUCKET_START]).to_pylist()
    partial = [start for start in starts if start != midnight(start.date())]
    if partial:
        raise ProviderMisbehaved(
            f"a daily bucket starts at {min(partial):%Y-%m-%d %H:%M:%S} UTC, not at midnight", code="partial_bucket"
        )


def _reject(reject: Reject, window: Window) -> Rejected:
    start = reject.bucket.get(BUCKET_START)
    day = start.date() if isinstance(start, datetime) else window.start
    return Rejected(day, reject.reason, reject.error_path, reject.raw_json)


def build_rows(
    readings: Sequence[Reading], schema: TableSchema, constants: Mapping[str, Mapping[str, Any]], first_open_day: date
) -> pa.Table:
    """Rows of all readings in the table's columns, without the lineage ones.

    `constants` gives each report, by name, the values that all of its rows share.
    """
    import pyarrow as pa

    from convergence.warehouse.arrow import build_arrow_schema

    wanted = build_arrow_schema(schema)
    names = [column.name for column in schema.measures_and_dimensions]
    target = pa.schema([pa.field(name, wanted.field(name).type) for name in names])
    parts = [target.empty_table()]
    for reading in readings:
        values = {"group_by": reading.report.group_by, **constants.get(reading.report.name, {})}
        parts.extend(_fit(batch, target, values, first_open_day) for batch in reading.batches if batch.num_rows)
    return pa.concat_tables(parts)


def _fit(batch: pa.RecordBatch, target: pa.Schema, values: Mapping[str, Any], first_open_day: date) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    days = pc.cast(batch[BUCKET_START], pa.date32())
    known = {
        "usage_date": days,
        "is_provisional": pc.greater_equal(days, pa.scalar(first_open_day, pa.date32())),
        **{name: pa.repeat(pa.scalar(value), batch.num_rows) for name, value in values.items()},
        **{name: batch[name] for name in batch.schema.names if name in target.names},
    }
    columns = [
        known[name] if name in known else pa.nulls(batch.num_rows, target.field(name).type) for name in target.names
    ]
    return pa.Table.from_arrays(columns, schema=target)


def collapse_repeats(rows: pa.Table, dimensions: Sequence[str], what: str) -> pa.Table:
    """Each row once. A row that comes again to the last figure is a page that overlaps another: it counts once.

    The first of the dimensions is the day.

    Raises:
        ProviderMisbehaved: duplicate_rows: the same dimensions with other figures; which is true cannot be told.
    """
    groups = rows.group_by(list(dimensions)).aggregate([([], "count_all")])
    if groups.num_rows == rows.num_rows:
        return rows
    distinct = rows.group_by(rows.column_names, use_threads=False).aggregate([])
    if distinct.num_rows == groups.num_rows:
        return distinct.select(rows.column_names)
    day = min(row[dimensions[0]] for row in groups.to_pylist() if row["count_all"] > 1)
    raise ProviderMisbehaved(
        f"{distinct.num_rows - groups.num_rows} {what} came twice with other figures, the first on {day};"
        " nothing was written",
        code="duplicate_rows",
        hint="Pages shifted while they were read. Run it again.",
    )
