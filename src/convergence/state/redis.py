"""The state store of many processes: a Redis server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

from convergence.errors import StoreUnavailable
from convergence.state import redis_scripts as scripts
from convergence.state.protocol import Entry, Lease
from convergence.state.redis_server import RedisServer

_LEASE_GRACE: Final = timedelta(hours=1)  # an expired lease that nobody took can still be renewed this long
_PAGE: Final = 200
_MICROSECOND: Final = timedelta(microseconds=1)


class RedisStateStore:
    """A StateStore for any number of processes. Every method is one script, so nothing comes in between.

    Versions and fences come from one sequence of the whole store. They are at least the server's time in microseconds:
    a server that lost its last second, or everything, gives out no number twice.
    """

    def __init__(self, url: str, *, prefix: str) -> None:
        """
        Raises:
            ConfigError: no address of a Redis.
        """
        self._server = RedisServer(url, what="state store")
        # In braces, so that a cluster keeps all keys in one place, which scripts need.
        self._prefix = f"{{{prefix}}}:state:"
        self._acquire = self._server.script(scripts.ACQUIRE)
        self._renew = self._server.script(scripts.RENEW)
        self._release = self._server.script(scripts.RELEASE)
        self._holder = self._server.script(scripts.HOLDER)
        self._get = self._server.script(scripts.GET)
        self._compare_and_set = self._server.script(scripts.COMPARE_AND_SET)
        self._delete = self._server.script(scripts.DELETE)
        self._scan = self._server.script(scripts.SCAN)
        self._count = self._server.script(scripts.COUNT)

    async def acquire(self, key: str, owner: str, ttl: timedelta, /) -> Lease | None:
        fence = await self._acquire(self._keys("lease", key), (owner, _micros(ttl), _micros(_LEASE_GRACE)))
        return None if fence is None else Lease(key, owner, fence)

    async def renew(self, lease: Lease, ttl: timedelta, /) -> bool:
        args = (lease.fence, _micros(ttl), _micros(_LEASE_GRACE))
        return bool(await self._renew(self._keys("lease", lease.key), args))

    async def release(self, lease: Lease, /) -> None:
        await self._release(self._keys("lease", lease.key), (lease.fence,))

    async def holder(self, key: str, /) -> Lease | None:
        held = await self._holder(self._keys("lease", key))
        return None if held is None else Lease(key, held[0].decode(), int(held[1]))

    async def get(self, key: str, /) -> Entry | None:
        held = await self._get(self._keys("value", key))
        return None if held is None else Entry(key, held[0], int(held[1]))

    async def compare_and_set(
        self, key: str, expected: int | None, value: bytes, /, *, ttl: timedelta | None = None
    ) -> int | None:
        args = (key, "" if expected is None else expected, bytes(value), _optional_micros(ttl))
        version: int | None = await self._compare_and_set(self._keys("value", key), args)
        return version

    async def delete(self, key: str, /) -> None:
        """Forget the value and the counter of this key."""
        await self._delete([*self._keys("value", key), self._record("counter", key)], (key,))

    async def scan(self, prefix: str, /) -> AsyncIterator[Entry]:
        start, end = b"[" + prefix.encode(), b"(" + prefix.encode() + b"\xff"  # no UTF-8 has this byte
        looked = _PAGE
        while looked == _PAGE:
            looked, last, entries = await self._scan(self._keys("value", ""), (start, end, _PAGE))
            start = b"(" + last
            for name, value, version in entries:
                yield Entry(name.decode(), value, int(version))

    async def count(
        self, key: str, amount: int, /, *, limit: int | None = None, ttl: timedelta | None = None
    ) -> int | None:
        args = (amount, "" if limit is None else limit, _optional_micros(ttl))
        total: int | None = await self._count(self._keys("counter", key), args)
        return total

    async def ping(self) -> None:
        """
        Raises:
            StoreUnavailable: it does not answer, or would forget runs and leases when it is full.
        """
        policy = await self._server.eviction_policy()
        if policy.startswith("allkeys-"):
            raise StoreUnavailable(
                f"the Redis of the state store evicts any key when it is full (maxmemory-policy {policy})",
                hint="Set its maxmemory-policy to noeviction.",
            )

    async def close(self) -> None:
        """Closing twice does nothing."""
        await self._server.close()

    def _keys(self, kind: str, key: str) -> list[str]:
        return [f"{self._prefix}sequence", f"{self._prefix}due", f"{self._prefix}names", self._record(kind, key)]

    def _record(self, kind: str, key: str) -> str:
        return f"{self._prefix}{kind}:{key}"


def _micros(duration: timedelta) -> int:
    return duration // _MICROSECOND


def _optional_micros(duration: timedelta | None) -> int | str:
    return "" if duration is None else _micros(duration)
