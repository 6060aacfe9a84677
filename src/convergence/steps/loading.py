"""The one way that days of a provider reach a table: checked day by day, then replaced whole.

A day that fails a check keeps what is committed; the other days of the window are published all the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from convergence.catalog.schemas import LINEAGE_COLUMNS, Column, TableSchema
from convergence.errors import DataQualityError
from convergence.kit.clock import today
from convergence.kit.ids import new_id
from convergence.kit.window import Window, join_days
from convergence.steps.context import LoadLimits, StepContext
from convergence.warehouse import Claim, Loaded, ScopeState, WriteMode

if TYPE_CHECKING:
    import pyarrow as pa


class Rejected(NamedTuple):
    """A row that broke the declared schema. `raw` is its JSON with credentials redacted."""

    day: date
    reason: str
    error_path: str | None
    raw: str | None


@dataclass(frozen=True, slots=True)
class DayLoad:
    """Where days go. `table` names the schema too; `amount_column` is the money that the shrink guard watches.

    `part`, a column and its value, says which rows of a day are replaced in a table that several streams share.
    """

    table: str
    stream: str
    day_column: str = "usage_date"
    amount_column: str | None = None
    part: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """All rows of a window, without lineage columns, and those that were refused."""

    window: Window
    rows: pa.Table
    rejects: Sequence[Rejected] = ()


FetchAgain = Callable[[Window], Awaitable[Fetched]]


@dataclass(slots=True)
class Published:
    """What came of one or more loads. `faults` are the days that kept their old rows, with the reason."""

    rows: int = 0
    rejected: int = 0
    days_replaced: list[date] = field(default_factory=list)
    days_unchanged: list[date] = field(default_factory=list)
    faults: dict[date, DataQualityError] = field(default_factory=dict)

    def add(self, loaded: Loaded) -> None:
        self.rows += loaded.rows
        self.rejected += loaded.rejected
        self.days_replaced.extend(loaded.days_replaced)
        self.days_unchanged.extend(loaded.days_unchanged)

    def extend(self, other: Published) -> None:
        self.rows += other.rows
        self.rejected += other.rejected
        self.days_replaced.extend(other.days_replaced)
        self.days_unchanged.extend(other.days_unchanged)
        self.faults.update(other.faults)

    def check(self) -> None:
        """Raise what held days back, after all the others are in.

        Raises:
            DataQualityError: too_many_bad_rows or unstable_source, naming every day.
        """
        if not self.faults:
            return
        first = next(iter(self.faults.values()))
        text = "; ".join(error.message for _, error in sorted(self.faults.items()))
        days = [day.isoformat() for day in sorted(self.faults)]
        raise DataQualityError(text, code=first.code, hint=first.hint, fields={"days": days}) from first

    @property
    def metadata(self) -> dict[str, object]:
        return {
            "rows": self.rows,
            "rows_rejected": self.rejected,
            "days_replaced": len(self.days_replaced),
            "days_unchanged": len(self.days_unchanged),
            "days_held_back": [day.isoformat() for day in sorted(self.faults)],
        }


async def publish_days(
    context: StepContext, load: DayLoad, fetched: Fetched, *, fetch_again: FetchAgain | None = None
) -> Published:
    """Replace the days of a window by these rows, each day if it passes its checks.

    With `fetch_again`, a day that lost more than half of its rows or money is fetched a second time after a pause and
    published only if both fetches agree. Tables derived from checked ones need no guard and give none.

    Raises:
        DataQualityError: rows_outside_window: the provider sent a day nobody asked for. Faults of single days are not
            raised here but kept in `Published.faults`.
    """
    await ensure_tables(context, load.table, part=load.part)
    _check_days(load, fetched)
    faults = _find_bad_days(load, fetched, context.limits)
    if fetch_again is not None:
        faults |= await _find_unstable_days(context, load, fetched, fetch_again, skip=faults.keys())
    published = Published(faults=faults)
    for window in join_days(day for day in fetched.window.days() if day not in faults):
        published.add(await _replace(context, load, _cut(load, fetched, window)))
    return published


async def ensure_tables(context: StepContext, table: str, *, part: tuple[str, str] | None = None) -> None:
    """The table and its `_rejects`, created or widened."""
    schema = context.catalog.schema(table)
    ref = context.tenant.table(table)
    await context.warehouse.ensure(ref, schema)
    await context.warehouse.ensure(ref.rejects, rejects_schema(schema, part))


def rejects_schema(schema: TableSchema, part: tuple[str, str] | None = None) -> TableSchema:
    """The table beside `schema` that keeps what it refused."""
    parts = (Column(part[0], "STRING", "REQUIRED", "Whose row it is"),) if part else ()
    lineage = tuple(column for column in schema.columns if column.name in LINEAGE_COLUMNS)
    return TableSchema(
        name=f"{schema.name}_rejects",
        description=f"Rows that {schema.name} refused, with the reason",
        columns=(
            Column(schema.partition_column or "usage_date", "DATE", "REQUIRED", "UTC day of the row"),
            Column("reason", "STRING", "REQUIRED", "Why the row was refused"),
            Column("error_path", "STRING", "NULLABLE", "Which part of it is wrong"),
            Column("raw", "JSON", "NULLABLE", "The row as the provider sent it, credentials redacted"),
            *parts,
            *lineage,
        ),
        partition_column=schema.partition_column,
    )


def add_lineage(rows: pa.Table, context: StepContext) -> pa.Table:
    """The rows with who loaded them, and when."""
    import pyarrow as pa

    values = (
        pa.scalar(today(context.clock), pa.date32()),
        pa.scalar(context.clock.now(), pa.timestamp("us", tz="UTC")),
        pa.scalar(context.run.run_id, pa.string()),
    )
    for name, value in zip(LINEAGE_COLUMNS, values, strict=True):
        rows = rows.append_column(name, pa.repeat(value, rows.num_rows))
    return rows


async def stream_batches(rows: pa.Table) -> AsyncIterator[pa.RecordBatch]:
    """A table in the form that a warehouse loads."""
    for batch in rows.to_batches():
        yield batch


async def _replace(context: StepContext, load: DayLoad, fetched: Fetched) -> Loaded:
    run = context.run
    claim = Claim(load.stream, run.run_id, run.fence, new_id("load"), load.amount_column, load.part)
    return await context.warehouse.load(
        context.tenant.table(load.table),
        stream_batches(add_lineage(fetched.rows, context)),
        mode=WriteMode.REPLACE_WINDOW,
        window=fetched.window,
        claim=claim,
        rejects=add_lineage(build_reject_rows(load, fetched.rejects), context),
    )


def _check_days(load: DayLoad, fetched: Fetched) -> None:
    strange = {day for day in _days(load, fetched.rows) if day not in fetched.window}
    strange |= {reject.day for reject in fetched.rejects if reject.day not in fetched.window}
    if strange:
        raise DataQualityError(
            f"{load.stream} sent rows of {min(strange)}, outside {fetched.window}",
            code="rows_outside_window",
            hint="Nothing was written. Run it again; if it stays, the provider has changed its answer.",
        )


def _find_bad_days(load: DayLoad, fetched: Fetched, limits: LoadLimits) -> dict[date, DataQualityError]:
    bad: dict[date, int] = {}
    for reject in fetched.rejects:
        bad[reject.day] = bad.get(reject.day, 0) + 1
    if not bad:
        return {}
    good = {day: state.rows for day, state in _measure(load, fetched.rows).items()}
    return {
        day: _too_many(load, fetched, day, count, count + good.get(day, 0))
        for day, count in bad.items()
        if count > max(limits.max_bad_rows, limits.max_bad_row_share * (count + good.get(day, 0)))
    }


def _too_many(load: DayLoad, fetched: Fetched, day: date, bad: int, rows: int) -> DataQualityError:
    reason = next(reject.reason for reject in fetched.rejects if reject.day == day)
    return DataQualityError(
        f"{load.table}: {bad} of {rows} rows of {day} are bad (the first: {reason}); the old rows stay",
        code="too_many_bad_rows",
        hint="See whether the provider changed its format; MAX_BAD_ROWS and MAX_BAD_ROW_SHARE set the limit.",
    )


async def _find_unstable_days(
    context: StepContext, load: DayLoad, fetched: Fetched, fetch_again: FetchAgain, *, skip: Iterable[date]
) -> dict[date, DataQualityError]:
    """The days that shrank and for which a second fetch does not say the same."""
    shrunk = await _find_shrunk_days(context, load, fetched, set(skip))
    if not shrunk:
        return {}
    context.log.warning("days_shrank", stream=load.stream, days=[day.isoformat() for day in shrunk])
    await context.clock.sleep(context.limits.shrink_recheck)
    faults = {}
    for window in join_days(shrunk):
        second = await fetch_again(window)
        for day in window.days():
            if not _is_same_day(load, fetched, second, day):
                faults[day] = _unstable(load, day)
    return faults


async def _find_shrunk_days(context: StepContext, load: DayLoad, fetched: Fetched, skip: set[date]) -> list[date]:
    committed = await context.warehouse.scopes(context.tenant.dataset, load.stream, fetched.window)
    measured = _measure(load, fetched.rows)
    return [
        state.day
        for state in committed
        if state.day not in skip and _has_shrunk(state, measured.get(state.day, _NOTHING))
    ]


class _Size(NamedTuple):
    rows: int
    amount: Decimal | None


_NOTHING = _Size(0, Decimal(0))


def _has_shrunk(before: ScopeState, now: _Size) -> bool:
    if now.rows * 2 < before.rows:
        return True
    if before.amount is None or now.amount is None or before.amount <= 0:
        return False
    return now.amount * 2 < before.amount


def _unstable(load: DayLoad, day: date) -> DataQualityError:
    return DataQualityError(
        f"{load.table}: {day} fell by more than half and two fetches do not agree; the old rows stay",
        code="unstable_source",
        hint="The provider is restating the day. Run it again later.",
    )


def _is_same_day(load: DayLoad, first: Fetched, second: Fetched, day: date) -> bool:
    window = Window.day(day)
    one, two = _cut(load, first, window), _cut(load, second, window)
    return sorted(one.rejects, key=repr) == sorted(two.rejects, key=repr) and _ordered(one.rows).equals(
        _ordered(two.rows)
    )


def _ordered(rows: pa.Table) -> pa.Table:
    return rows.sort_by([(name, "ascending") for name in rows.column_names]).combine_chunks()


def _measure(load: DayLoad, rows: pa.Table) -> Mapping[date, _Size]:
    """Rows and money of each day."""
    measures: list[tuple[str, str]] = [(load.day_column, "count")]
    if load.amount_column is not None:
        measures.append((load.amount_column, "sum"))
    sums = rows.group_by(load.day_column).aggregate(measures)
    amounts = sums[f"{load.amount_column}_sum"].to_pylist() if load.amount_column else [None] * sums.num_rows
    counts = sums[f"{load.day_column}_count"].to_pylist()
    days = sums[load.day_column].to_pylist()
    return {day: _Size(count, amount) for day, count, amount in zip(days, counts, amounts, strict=True)}


def _days(load: DayLoad, rows: pa.Table) -> list[date]:
    days: list[date] = rows[load.day_column].unique().to_pylist()
    return days


def _cut(load: DayLoad, fetched: Fetched, window: Window) -> Fetched:
    """The part of it that lies in `window`."""
    if window == fetched.window:
        return fetched
    import pyarrow as pa
    import pyarrow.compute as pc

    day = fetched.rows[load.day_column]
    start, end = pa.scalar(window.start, pa.date32()), pa.scalar(window.end, pa.date32())
    rows = fetched.rows.filter(pc.and_(pc.greater_equal(day, start), pc.less(day, end)))
    return Fetched(window, rows, [reject for reject in fetched.rejects if reject.day in window])


def build_reject_rows(load: DayLoad, rejects: Sequence[Rejected]) -> pa.Table:
    """Refused rows in the columns of the `_rejects` table, without the lineage ones."""
    import pyarrow as pa

    columns = {
        load.day_column: pa.array([reject.day for reject in rejects], pa.date32()),
        "reason": pa.array([reject.reason for reject in rejects], pa.string()),
        "error_path": pa.array([reject.error_path for reject in rejects], pa.string()),
        "raw": pa.array([reject.raw for reject in rejects], pa.string()),
    }
    if load.part is not None:
        columns[load.part[0]] = pa.repeat(pa.scalar(load.part[1]), len(rejects))
    return pa.table(columns)
