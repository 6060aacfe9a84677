"""One load, one transaction: what replaces what, whose fence counts, what is left as it is."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final, TypeVar

import duckdb
import pyarrow as pa

from convergence.catalog.schemas import TableSchema
from convergence.errors import LeaseLost, SchemaMismatch, WarehouseBusy
from convergence.kit.hashing import digest
from convergence.kit.window import Window
from convergence.tenancy import TableRef
from convergence.warehouse.duckdb.errors import is_conflict
from convergence.warehouse.duckdb.schema import full_name, identifier
from convergence.warehouse.duckdb.tables import first_row, quote
from convergence.warehouse.protocol import Claim, Loaded, ScopeState, WriteMode
from convergence.warehouse.requests import WHOLE_TABLE

Connection = duckdb.DuckDBPyConnection
T = TypeVar("T")

_ATTEMPTS: Final = 6
_SCOPE_COLUMNS: Final = "stream, day, fence, load_id, run_id, rows, amount, content_digest"
_DAYS: Final = pa.schema(
    [
        ("day", pa.date32()),
        ("rows", pa.int64()),
        ("rejected", pa.int64()),
        ("amount", pa.decimal128(38, 9)),
        ("content_digest", pa.string()),
        ("outcome", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Load:
    """What is to be published. `source` and `rejects` are Arrow tables or datasets that fit their tables."""

    table: TableRef
    schema: TableSchema
    source: Any
    rows: int
    mode: WriteMode
    keys: tuple[str, ...] = ()
    window: Window | None = None
    claim: Claim | None = None
    rejects: pa.Table | None = None
    rejects_schema: TableSchema | None = None


@dataclass(frozen=True, slots=True)
class Day:
    """What one day of a load holds."""

    day: date
    rows: int = 0
    rejected: int = 0
    amount: Decimal | None = None
    content_digest: str = ""


@dataclass(slots=True)
class _Plan:
    """Which days are written and which are left."""

    written: list[Day] = field(default_factory=list)
    left: list[Day] = field(default_factory=list)


def publish(cursor: Connection, load: Load) -> Loaded:
    """Write the load in one transaction, again where another transaction was faster.

    Raises:
        SchemaMismatch: a duplicate key. LeaseLost: a newer fence. WarehouseBusy: conflicts without end.
    """
    cursor.register("source_rows", load.source)
    if load.rejects is not None:
        cursor.register("source_rejects", load.rejects)
    if load.mode is WriteMode.MERGE:
        _refuse_duplicate_keys(cursor, load)
    days = _measure(cursor, load)
    return retry_conflicts(lambda: _transaction(cursor, load, days))


def retry_conflicts(action: Callable[[], T]) -> T:
    """Run it again, a few times, while another transaction wins.

    Raises:
        WarehouseBusy: it never won.
    """
    for attempt in range(_ATTEMPTS):
        try:
            return action()
        except duckdb.Error as error:
            if not is_conflict(error):
                raise
            if attempt == _ATTEMPTS - 1:
                raise WarehouseBusy("another writer holds the table", hint="Try again.", retry_after=1.0) from error
        time.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 - spreads writers, keeps no secret
    raise AssertionError


def read_scopes(cursor: Connection, table: TableRef, stream: str, window: Window) -> list[ScopeState]:
    """The committed days of a stream; `table` is any of its dataset."""
    rows = cursor.execute(
        f"SELECT {_SCOPE_COLUMNS} FROM {quote(table.dataset, '_load_scopes')}"
        " WHERE stream = $stream AND day >= $start AND day < $end ORDER BY day",
        {"stream": stream, "start": window.start, "end": window.end},
    ).fetchall()
    return [ScopeState(*row) for row in rows]


def _transaction(cursor: Connection, load: Load, days: list[Day]) -> Loaded:
    cursor.execute("BEGIN")
    try:
        loaded = _write(cursor, load, days)
        cursor.execute("COMMIT")
    except BaseException:
        with suppress(duckdb.Error):  # a failed COMMIT has rolled back already
            cursor.execute("ROLLBACK")
        raise
    return loaded


def _write(cursor: Connection, load: Load, days: list[Day]) -> Loaded:
    if load.claim is None:
        _replace(cursor, load, None)
        return _loaded(load, days, ())
    plan = _plan(cursor, load, load.claim, days)
    _record(cursor, load, load.claim, plan)
    if plan.written:
        _replace(cursor, load, [day.day for day in plan.written])
    return _loaded(load, plan.written, plan.left)


def _loaded(load: Load, written: Sequence[Day], left: Sequence[Day]) -> Loaded:
    has_days = load.window is not None
    return Loaded(
        rows=load.rows,
        rejected=load.rejects.num_rows if load.rejects is not None else 0,
        days_replaced=tuple(day.day for day in written if has_days),
        days_unchanged=tuple(day.day for day in left if has_days),
    )


def _plan(cursor: Connection, load: Load, claim: Claim, days: list[Day]) -> _Plan:
    span = Window(days[0].day, days[-1].day + timedelta(days=1))
    committed = {scope.day: scope for scope in read_scopes(cursor, load.table, claim.stream, span)}
    for scope in committed.values():
        if scope.fence > claim.fence:
            raise LeaseLost(
                f"{claim.stream} {scope.day}: fence {scope.fence} has published, this one is {claim.fence}",
                hint="Stop: a newer owner does this work.",
            )
    if load.mode is WriteMode.APPEND and _is_in_ledger(cursor, load, claim):
        return _Plan(left=days)
    present = _present_rows(cursor, load)
    plan = _Plan()
    for day in days:
        before = committed.get(day.day)
        same = before is not None and _is_same(load, before, day, present)
        (plan.left if same else plan.written).append(day)
    return plan


def _is_in_ledger(cursor: Connection, load: Load, claim: Claim) -> bool:
    found = first_row(
        cursor.execute(
            f"SELECT 1 FROM {quote(load.table.dataset, '_load_ledger')}"
            " WHERE stream = $stream AND load_id = $load LIMIT 1",
            {"stream": claim.stream, "load": claim.load_id},
        )
    )
    return found is not None


def _is_same(load: Load, scope: ScopeState, day: Day, present: dict[date, int] | None) -> bool:
    if load.mode in {WriteMode.APPEND, WriteMode.MERGE} or scope.content_digest != day.content_digest:
        return False
    return present is None or present.get(day.day, 0) == scope.rows


def _present_rows(cursor: Connection, load: Load) -> dict[date, int] | None:
    """Rows that the table really holds: a digest says nothing about a table that was emptied by hand."""
    if load.mode is WriteMode.OVERWRITE:
        return {WHOLE_TABLE: cursor.execute(f"SELECT count(*) FROM {full_name(load.table)}").fetchall()[0][0]}
    if load.mode is not WriteMode.REPLACE_WINDOW:
        return None
    (condition, values), (own, part) = _in_window(load), _own_part(load)
    column = identifier(load.schema.partition_column or "")
    rows = cursor.execute(
        f"SELECT CAST({column} AS DATE), count(*) FROM {full_name(load.table)} WHERE {condition} AND {own} GROUP BY 1",
        {**values, **part},
    ).fetchall()
    return dict(rows)


def _record(cursor: Connection, load: Load, claim: Claim, plan: _Plan) -> None:
    """The scope rows come first: two first loads of a day meet there, and one of them loses."""
    rows = [_day_row(day, "replaced") for day in plan.written] + [_day_row(day, "unchanged") for day in plan.left]
    cursor.register("source_days", pa.Table.from_pylist(rows, schema=_DAYS))
    values = {"stream": claim.stream, "fence": claim.fence, "load": claim.load_id, "run": claim.run_id}
    scopes, ledger = quote(load.table.dataset, "_load_scopes"), quote(load.table.dataset, "_load_ledger")
    if plan.written:
        cursor.execute(
            f"INSERT INTO {scopes}"
            " SELECT $stream, day, $fence, $load, $run, rows, rejected, amount, content_digest, now()"
            " FROM source_days WHERE outcome = 'replaced' ON CONFLICT (stream, day) DO UPDATE SET"
            " fence = excluded.fence, load_id = excluded.load_id, run_id = excluded.run_id, rows = excluded.rows,"
            " rejected = excluded.rejected, amount = excluded.amount, content_digest = excluded.content_digest,"
            " committed_at = excluded.committed_at",
            values,
        )
    if plan.left:
        cursor.execute(
            f"UPDATE {scopes} SET fence = $fence WHERE stream = $stream AND day IN"
            " (SELECT day FROM source_days WHERE outcome = 'unchanged')",
            {"fence": claim.fence, "stream": claim.stream},
        )
    cursor.execute(
        f"INSERT INTO {ledger} SELECT $stream, day, $fence, $load, $run, rows, rejected, amount, content_digest,"
        " outcome, now() FROM source_days",
        values,
    )


def _day_row(day: Day, outcome: str) -> dict[str, object]:
    return {
        "day": day.day,
        "rows": day.rows,
        "rejected": day.rejected,
        "amount": day.amount,
        "content_digest": day.content_digest,
        "outcome": outcome,
    }


def _replace(cursor: Connection, load: Load, days: list[date] | None) -> None:
    """Rows out, rows in. `days` None means all that the load covers."""
    _replace_rows(cursor, load, _Target(load.table, load.schema, "source_rows"), days)
    if load.rejects_schema is not None and load.rejects is not None:
        _replace_rows(cursor, load, _Target(load.table.rejects, load.rejects_schema, "source_rejects"), days)


@dataclass(frozen=True, slots=True)
class _Target:
    table: TableRef
    schema: TableSchema
    source: str


def _replace_rows(cursor: Connection, load: Load, target: _Target, days: list[date] | None) -> None:
    name = full_name(target.table)
    columns = ", ".join(identifier(column.name) for column in target.schema.columns)
    condition: str = "true"
    values: dict[str, Any] = {}
    match load.mode:
        case WriteMode.OVERWRITE:
            cursor.execute(f"DELETE FROM {name}")
        case WriteMode.MERGE if target.source == "source_rows":
            cursor.execute(f"DELETE FROM {name} AS old WHERE EXISTS ({_same_key(load.keys, target.source)})")
        case WriteMode.REPLACE_WINDOW:
            (condition, values), (own, part) = _covered(load, target.schema, days), _own_part(load)
            cursor.execute(f"DELETE FROM {name} WHERE {condition} AND {own}", {**values, **part})
    cursor.execute(f"INSERT INTO {name} ({columns}) SELECT {columns} FROM {target.source} WHERE {condition}", values)


def _same_key(keys: Sequence[str], source: str) -> str:
    same = " AND ".join(f"old.{identifier(key)} IS NOT DISTINCT FROM new.{identifier(key)}" for key in keys)
    return f"SELECT 1 FROM {source} AS new WHERE {same}"


def _covered(load: Load, schema: TableSchema, days: list[date] | None) -> tuple[str, dict[str, Any]]:
    window, column = load.window, schema.partition_column
    if window is None or column is None:
        return "true", {}
    if days is None or len(days) == len(window):
        return _in_window(load, schema)
    return f"list_contains($days, CAST({identifier(column)} AS DATE))", {"days": days}


def _in_window(load: Load, schema: TableSchema | None = None) -> tuple[str, dict[str, Any]]:
    column = identifier((schema or load.schema).partition_column or "")
    window = load.window
    if window is None:
        return "true", {}
    return f"{column} >= $start AND {column} < $end", {"start": window.start, "end": window.end}


def _own_part(load: Load) -> tuple[str, dict[str, Any]]:
    """The rows of the table, or of its rejects, that are the stream's."""
    if load.claim is None or load.claim.part is None:
        return "true", {}
    column, value = load.claim.part
    return f"{identifier(column)} = $part", {"part": value}


def _refuse_duplicate_keys(cursor: Connection, load: Load) -> None:
    keys = ", ".join(identifier(key) for key in load.keys)
    row = first_row(
        cursor.execute(f"SELECT {keys}, count(*) FROM source_rows GROUP BY ALL HAVING count(*) > 1 LIMIT 1")
    )
    if row:
        shown = ", ".join(f"{key}={value!r}" for key, value in zip(load.keys, row, strict=False))
        raise SchemaMismatch(
            f"table {load.table}: {row[-1]} rows of the source have the key {shown}",
            hint="Make the keys unique in the source, or add the column that tells the rows apart.",
        )


def _measure(cursor: Connection, load: Load) -> list[Day]:
    """Rows, amount and digest of every day of the load; a day without rows is one of them."""
    if load.claim is None:
        return [Day(day) for day in load.window.days()] if load.window else []
    amount = load.claim.amount_column
    good = _digests(cursor, load, load.schema, "source_rows", amount)
    bad = _digests(cursor, load, load.rejects_schema, "source_rejects", None) if load.rejects is not None else {}
    days = list(load.window.days()) if load.window else [WHOLE_TABLE]
    return [_day(day, good.get(day, _NOTHING), bad.get(day, _NOTHING), has_amount=amount is not None) for day in days]


_Measured = tuple[int, str, Decimal | None]
_NOTHING: Final[_Measured] = (0, "", None)


def _day(day: date, good: _Measured, bad: _Measured, *, has_amount: bool) -> Day:
    amount = (good[2] or Decimal(0)) if has_amount else None
    return Day(day, good[0], bad[0], amount, digest(str(good[0]), good[1], str(bad[0]), bad[1]))


def _digests(
    cursor: Connection, load: Load, schema: TableSchema | None, source: str, amount: str | None
) -> dict[date, _Measured]:
    """Sums of row hashes: the order of rows does not matter, their number does."""
    if schema is None:
        return {}
    columns = ", ".join(identifier(column.name) for column in schema.measures_and_dimensions)
    day = f"CAST({identifier(schema.partition_column or '')} AS DATE)" if load.window else "DATE '0001-01-01'"
    total = f"sum({identifier(amount)})" if amount else "NULL"
    rows = cursor.execute(
        f"SELECT {day}, count(*), sum(CAST(hash({columns}) AS HUGEINT)) || '-' ||"
        f" sum(CAST(hash('second', {columns}) AS HUGEINT)), {total} FROM {source} GROUP BY 1"
    ).fetchall()
    return {row[0]: (row[1], row[2], row[3]) for row in rows}
