"""The one seam for what needs compare-and-set. Time is the store's, never the caller's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Lease:
    """Ownership of a key for a while. `fence` grows with every change of owner and never falls."""

    key: str
    owner: str
    fence: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored value. `version` grows with every write."""

    key: str
    value: bytes
    version: int


class StateStore(Protocol):
    """Leases, values and counters. Keys are `/`-separated; the organization comes first where there is one.

    Every method raises StoreUnavailable when the store cannot be reached.
    """

    async def acquire(self, key: str, owner: str, ttl: timedelta, /) -> Lease | None:
        """Take the lease, with a higher fence; None while another owner holds it. The same owner takes it again."""
        ...

    async def renew(self, lease: Lease, ttl: timedelta, /) -> bool:
        """Extend it; False when it has gone to another owner or has expired and been taken."""
        ...

    async def release(self, lease: Lease, /) -> None:
        """Give it back; nothing happens if it is no longer held. The fence is remembered."""
        ...

    async def holder(self, key: str, /) -> Lease | None:
        """Who holds the lease now, None where nobody does."""
        ...

    async def get(self, key: str, /) -> Entry | None:
        """The value, None where there is none or it has expired."""
        ...

    async def compare_and_set(
        self, key: str, expected: int | None, value: bytes, /, *, ttl: timedelta | None = None
    ) -> int | None:
        """Write if the version is `expected` (None: only if there is no value); the new version, None if not."""
        ...

    async def delete(self, key: str, /) -> None: ...

    def scan(self, prefix: str, /) -> AsyncIterator[Entry]:
        """The values whose key starts with `prefix`, in order of key, each once.

        What is written or deleted meanwhile may be seen as it was or as it is.
        """
        ...

    async def count(
        self, key: str, amount: int, /, *, limit: int | None = None, ttl: timedelta | None = None
    ) -> int | None:
        """Add to a counter and return it; None, and nothing added, where it would pass `limit`. Never below zero.

        A counter that is not there counts from zero; `ttl` is set when it is created. An amount of 0 reads it.
        """
        ...

    async def ping(self) -> None: ...

    async def close(self) -> None: ...
