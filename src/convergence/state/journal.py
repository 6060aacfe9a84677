"""An append-only file of state changes: what survives a crash of the embedded store.

Rows are only ever appended, so a commit costs the same however large the state is, and there is no index for a
write-ahead log to replay wrongly. The newest row of a key counts; compaction drops the others. All of it blocks.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from convergence.errors import StoreUnavailable

if TYPE_CHECKING:
    import duckdb

Kind = Literal["value", "counter", "fence"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SETTINGS: Final = {"storage_compatibility_version": "v1.5.0", "threads": "1", "memory_limit": "256MB"}
_TABLE = """
CREATE TABLE IF NOT EXISTS entries (
  seq BIGINT NOT NULL, kind VARCHAR NOT NULL, key VARCHAR NOT NULL, value BLOB, number BIGINT, expires_us BIGINT
)
"""
_APPEND = """
INSERT INTO entries SELECT unnest($1::BIGINT[]), unnest($2::VARCHAR[]), unnest($3::VARCHAR[]), unnest($4::BLOB[]),
  unnest($5::BIGINT[]), unnest($6::BIGINT[])
"""
_NEWEST = """
SELECT seq, kind, key, value, number, expires_us FROM entries
QUALIFY row_number() OVER (PARTITION BY kind, key ORDER BY seq DESC) = 1 ORDER BY seq
"""
# The newest row of all stays even when it is dead: it holds the sequence, which must never fall.
_COMPACT = """
DELETE FROM entries WHERE seq < (SELECT max(seq) FROM entries)
  AND (number IS NULL OR expires_us <= $1 OR seq NOT IN (SELECT max(seq) FROM entries GROUP BY kind, key))
"""


@dataclass(frozen=True, slots=True)
class Record:
    """The state of one key from `seq` on. Without a `number` the key is gone."""

    seq: int
    kind: Kind
    key: str
    value: bytes | None
    number: int | None
    expires: datetime | None

    def is_live(self, now: datetime) -> bool:
        return self.number is not None and (self.expires is None or self.expires > now)


class Journal:
    """The file. One process at a time: it holds a lock of its own beside the file."""

    def __init__(self, path: Path, *, compact_after: int = 50_000) -> None:
        self._path = path
        self._compact_after = compact_after
        self._appended = 0
        self._kept = 0
        self._lock: int | None = None
        self._connection: duckdb.DuckDBPyConnection | None = None

    def open(self) -> list[Record]:
        """Take the file and read the newest record of every key, oldest first.

        Raises:
            StoreUnavailable: another process holds it, or it cannot be read.
        """
        import duckdb

        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _lock(self._path)
            rows = self._connected().execute(_NEWEST).fetchall()
            self._kept, self._appended = len(rows), self._rows()
        except (duckdb.Error, OSError) as error:
            self.close()
            raise self._unavailable("cannot be read", error) from error
        return [_record(row) for row in rows]

    def append(self, records: Sequence[Record], now: datetime) -> None:
        """Write the records in one commit; on return they survive a crash.

        Raises:
            StoreUnavailable: nothing was written, or it is not known whether it was.
        """
        import duckdb

        try:
            self._connected().execute(_APPEND, _columns(records))
        except (duckdb.Error, OSError, ValueError, RuntimeError) as error:
            self._disconnect()
            raise self._unavailable("cannot be written", error) from error
        self._appended += len(records)
        if self._appended > max(self._compact_after, 4 * self._kept):
            with suppress(duckdb.Error):  # the records are safe; the next commit tries again
                self._compact(now)

    def close(self) -> None:
        self._disconnect()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _connected(self) -> duckdb.DuckDBPyConnection:
        import duckdb

        if self._connection is None:
            self._connection = duckdb.connect(str(self._path), config=dict(_SETTINGS))
            self._connection.execute(_TABLE)
            self._connection.execute("CHECKPOINT")  # a later replay never meets DDL
        return self._connection

    def _disconnect(self) -> None:
        import duckdb

        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(duckdb.Error):
                connection.close()

    def _compact(self, now: datetime) -> None:
        connection = self._connected()
        connection.execute(_COMPACT, [_micros(now)])
        connection.execute("CHECKPOINT")
        self._kept = self._appended = self._rows()

    def _rows(self) -> int:
        row = self._connected().execute("SELECT count(*) FROM entries").fetchone()
        return row[0] if row else 0

    def _unavailable(self, what: str, error: Exception) -> StoreUnavailable:
        # The engine's text may quote a bound value; its first line names the cause.
        cause = str(error).partition("\n")[0][:200] if isinstance(error, OSError) else type(error).__name__
        return StoreUnavailable(
            f"the state file {self._path} {what}: {cause}",
            hint=f"Check the disk's space and rights. If {self._path.name} is damaged, move it and its .wal away: "
            "what is in it is rebuilt from the run records.",
        )


def _lock(path: Path) -> int:
    lock = path.with_name(f"{path.name}.lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise StoreUnavailable(
            f"the state file {path} is held by another process (pid {holder})",
            code="store_locked",
            hint="Stop it, or go through it with --server URL.",
        ) from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def _columns(records: Sequence[Record]) -> list[list[object]]:
    return [
        [record.seq for record in records],
        [record.kind for record in records],
        [record.key for record in records],
        [record.value for record in records],
        [record.number for record in records],
        [None if record.expires is None else _micros(record.expires) for record in records],
    ]


def _record(row: tuple[int, Kind, str, bytes | None, int | None, int | None]) -> Record:
    seq, kind, key, value, number, expires_us = row
    expires = None if expires_us is None else _EPOCH + expires_us * _MICROSECOND
    return Record(seq, kind, key, value, number, expires)


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
