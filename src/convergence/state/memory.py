"""The embedded state store: everything in this process's memory, and in a file if one is given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from convergence.errors import StoreUnavailable
from convergence.kit.clock import Clock, SystemClock
from convergence.state.group_commit import GroupCommit
from convergence.state.journal import Journal, Kind, Record
from convergence.state.protocol import Entry, Lease

_SWEEP_EVERY: Final = timedelta(minutes=1)
_LEASE_GRACE: Final = timedelta(hours=1)  # an expired lease that nobody took can still be renewed this long


@dataclass(frozen=True, slots=True)
class _Held:
    lease: Lease
    expires: datetime


class MemoryStateStore:
    """A StateStore for one process. With a path, values, counters and fences survive kill -9.

    A write returns when it is on the disk. Versions and fences come from one sequence of the whole store, so neither
    falls when a key is deleted and made again. Leases themselves end with the process: whoever held one is gone.
    """

    def __init__(self, path: Path | None = None, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._tables: dict[Kind, dict[str, Record]] = {"value": {}, "counter": {}, "fence": {}}
        self._held: dict[str, _Held] = {}
        self._seq = 0
        self._sweep_at = self._clock.now() + _SWEEP_EVERY
        self._durable = _DurableFile(path, self._clock) if path is not None else None
        self._opening = asyncio.Lock()
        self._open = path is None
        self._closed = False

    async def acquire(self, key: str, owner: str, ttl: timedelta, /) -> Lease | None:
        await self._ensure_open()
        now, held = self._clock.now(), self._held.get(key)
        if held is not None and held.expires > now and held.lease.owner != owner:
            return None
        lease = Lease(key, owner, self._next())
        self._held[key] = _Held(lease, now + ttl)
        try:
            await self._write(Record(lease.fence, "fence", "", None, lease.fence, None))
        except (StoreUnavailable, asyncio.CancelledError):
            self._drop(lease)
            raise
        return lease

    async def renew(self, lease: Lease, ttl: timedelta, /) -> bool:
        await self._ensure_open()
        held = self._held.get(lease.key)
        if held is None or held.lease != lease:
            return False
        self._held[lease.key] = _Held(lease, self._clock.now() + ttl)
        return True

    async def release(self, lease: Lease, /) -> None:
        await self._ensure_open()
        self._drop(lease)

    async def holder(self, key: str, /) -> Lease | None:
        await self._ensure_open()
        held = self._held.get(key)
        return held.lease if held is not None and held.expires > self._clock.now() else None

    async def get(self, key: str, /) -> Entry | None:
        await self._ensure_open()
        record = self._live("value", key)
        return None if record is None else _entry(record)

    async def compare_and_set(
        self, key: str, expected: int | None, value: bytes, /, *, ttl: timedelta | None = None
    ) -> int | None:
        await self._ensure_open()
        held = self._live("value", key)
        if expected != (None if held is None else held.number):
            return None
        version = self._next()
        await self._write(Record(version, "value", key, bytes(value), version, self._expiry(ttl)))
        return version

    async def delete(self, key: str, /) -> None:
        """Forget the value and the counter of this key."""
        await self._ensure_open()
        kinds: tuple[Kind, ...] = ("value", "counter")
        gone = [Record(self._next(), kind, key, None, None, None) for kind in kinds if key in self._tables[kind]]
        await asyncio.gather(*(self._write(record) for record in gone))

    async def scan(self, prefix: str, /) -> AsyncIterator[Entry]:
        await self._ensure_open()
        now = self._clock.now()
        values = self._tables["value"]
        for key in sorted(key for key in values if key.startswith(prefix)):
            record = values.get(key)
            if record is not None and record.is_live(now):
                yield _entry(record)

    async def count(
        self, key: str, amount: int, /, *, limit: int | None = None, ttl: timedelta | None = None
    ) -> int | None:
        await self._ensure_open()
        held = self._live("counter", key)
        current = (held.number if held is not None else 0) or 0
        total = max(0, current + amount)
        if amount > 0 and limit is not None and total > limit:
            return None
        if total != current:
            expires = self._expiry(ttl) if held is None else held.expires
            await self._write(Record(self._next(), "counter", key, None, total, expires))
        return total

    async def ping(self) -> None:
        await self._ensure_open()

    async def close(self) -> None:
        """Wait for the last commit and give the file back. Closing twice does nothing."""
        was_closed, self._closed = self._closed, True
        if self._durable is not None and not was_closed:
            await self._durable.close()

    async def _ensure_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the state store is closed")
        if not self._open and self._durable is not None:
            async with self._opening:
                if not self._open:
                    self._restore(await self._durable.open())

    def _restore(self, records: Sequence[Record]) -> None:
        now = self._clock.now()
        for record in records:
            self._seq = max(self._seq, record.seq)
            if record.is_live(now):
                self._tables[record.kind][record.key] = record
        self._open = True

    def _next(self) -> int:
        self._seq += 1
        return self._seq

    def _expiry(self, ttl: timedelta | None) -> datetime | None:
        return None if ttl is None else self._clock.now() + ttl

    def _live(self, kind: Kind, key: str) -> Record | None:
        record = self._tables[kind].get(key)
        return record if record is not None and record.is_live(self._clock.now()) else None

    def _drop(self, lease: Lease) -> None:
        held = self._held.get(lease.key)
        if held is not None and held.lease == lease:
            del self._held[lease.key]

    async def _write(self, record: Record) -> None:
        """Visible at once, on the disk on return."""
        self._sweep()
        before = self._tables[record.kind].get(record.key)
        self._place(record.kind, record.key, record if record.number is not None else None)
        if self._durable is not None:
            await self._durable.commits.commit(record, partial(self._place, record.kind, record.key, before))

    def _place(self, kind: Kind, key: str, record: Record | None) -> None:
        if record is None:
            self._tables[kind].pop(key, None)
        else:
            self._tables[kind][key] = record

    def _sweep(self) -> None:
        """Drop what has expired; compaction does the same to the file."""
        now = self._clock.now()
        if now < self._sweep_at:
            return
        self._sweep_at = now + _SWEEP_EVERY
        for kind, table in self._tables.items():
            self._tables[kind] = {key: record for key, record in table.items() if record.is_live(now)}
        self._held = {key: held for key, held in self._held.items() if held.expires + _LEASE_GRACE > now}


class _DurableFile:
    """The journal and the one thread that touches it."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._journal = Journal(path)
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state")
        self.commits = GroupCommit(self._append)

    async def open(self) -> list[Record]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._journal.open)

    async def close(self) -> None:
        await self.commits.flush()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._journal.close)
        self._thread.shutdown(wait=False)

    async def _append(self, records: Sequence[Record]) -> None:
        append = partial(self._journal.append, records, self._clock.now())
        await asyncio.get_running_loop().run_in_executor(self._thread, append)


def _entry(record: Record) -> Entry:
    return Entry(record.key, record.value or b"", record.number or 0)
