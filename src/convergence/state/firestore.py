"""The state store of several machines: a document for each key in one Firestore collection.

Every change reads and writes its document in one transaction, so Firestore itself refuses the later of two that meet.
Time is Firestore's too: each answer carries the moment of its read, and what expires does so by that clock, whatever
the clocks of the machines say. Versions and fences are that moment in microseconds, or one more than the last: they
grow even over a deletion.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar
from urllib.parse import quote
from weakref import WeakValueDictionary

from convergence.errors import StoreUnavailable
from convergence.kit.ids import new_id
from convergence.state.firestore_errors import driver_errors, is_passing, translate
from convergence.state.protocol import Entry, Lease

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.cloud.firestore_v1 import AsyncClient, AsyncDocumentReference, AsyncQuery, AsyncTransaction

_Kind = Literal["value", "counter", "lease"]
_T = TypeVar("_T")
_Fields = Mapping[str, Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_GRACE: Final = timedelta(days=1)  # an expired lease that nobody took can still be renewed this long
_PATIENCE_SECONDS: Final = 30
_ATTEMPTS: Final = 20  # of one transaction that others keep overtaking
_PAUSES: Final = (0.1, 0.4, 1.6)
_PAGE: Final = 200
_LAST: Final = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class _Read:
    """What a document held, nothing where there is none, at a moment of Firestore's clock."""

    fields: _Fields
    at: datetime

    @property
    def is_live(self) -> bool:
        expires = self.fields.get("expires")
        return bool(self.fields) and (expires is None or expires > self.at)

    def next(self, name: str) -> int:
        last: int = self.fields.get(name, 0)
        return max(last + 1, (self.at - _EPOCH) // _MICROSECOND)


_Decision = Callable[[_Read], tuple[_T, _Fields | None]]


class FirestoreStateStore:
    """A StateStore for any number of processes on any number of machines.

    Needs roles/datastore.user. A TTL policy on `delete_after` keeps the collection small; nothing depends on when
    Firestore gets round to it.
    """

    def __init__(self, project: str | None, collection: str, *, client: AsyncClient | None = None) -> None:
        self._project = project
        self._collection = collection
        self._given = self._opened = client
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._scans: list[set[str]] = []
        self._closed = False

    async def acquire(self, key: str, owner: str, ttl: timedelta, /) -> Lease | None:
        def take(read: _Read) -> tuple[Lease | None, _Fields | None]:
            if read.is_live and read.fields["owner"] != owner:
                return None, None
            lease = Lease(key, owner, read.next("fence"))
            return lease, _lease_fields(lease, read.at + ttl)

        return await self._change("lease", key, take)

    async def renew(self, lease: Lease, ttl: timedelta, /) -> bool:
        def extend(read: _Read) -> tuple[bool, _Fields | None]:
            return (True, _lease_fields(lease, read.at + ttl)) if _holds(read, lease) else (False, None)

        return await self._change("lease", lease.key, extend)

    async def release(self, lease: Lease, /) -> None:
        def give_back(read: _Read) -> tuple[None, _Fields | None]:
            nobody = Lease(lease.key, "", lease.fence)
            return None, _lease_fields(nobody, read.at) if _holds(read, lease) else None

        await self._change("lease", lease.key, give_back)

    async def holder(self, key: str, /) -> Lease | None:
        read = await self._look("lease", key)
        return Lease(key, read.fields["owner"], read.fields["fence"]) if read.is_live else None

    async def get(self, key: str, /) -> Entry | None:
        read = await self._look("value", key)
        return _entry(read.fields) if read.is_live else None

    async def compare_and_set(
        self, key: str, expected: int | None, value: bytes, /, *, ttl: timedelta | None = None
    ) -> int | None:
        def write(read: _Read) -> tuple[int | None, _Fields | None]:
            if expected != (read.fields["version"] if read.is_live else None):
                return None, None
            version = read.next("version")
            fields = {"key": key, "value": bytes(value), "version": version}
            return version, fields | _lifetime(None if ttl is None else read.at + ttl)

        return await self._change("value", key, write)

    async def delete(self, key: str, /) -> None:
        """Forget the value and the counter of this key."""
        for running in self._scans:
            running.add(key)
        async with self._speaking() as client:
            batch = client.batch()
            batch.delete(self._document(client, "value", key))
            batch.delete(self._document(client, "counter", key))
            await batch.commit()

    async def scan(self, prefix: str, /) -> AsyncIterator[Entry]:
        """As it was when each page was read, less what this process has deleted since."""
        with self._scanning() as deleted:
            after: str | None = None
            while True:
                page = await self._page(prefix, after)
                for read in page:
                    if read.is_live and read.fields["key"] not in deleted:
                        yield _entry(read.fields)
                if len(page) < _PAGE:
                    return
                after = page[-1].fields["key"]

    async def count(
        self, key: str, amount: int, /, *, limit: int | None = None, ttl: timedelta | None = None
    ) -> int | None:
        def add(read: _Read) -> tuple[int | None, _Fields | None]:
            current = read.fields["number"] if read.is_live else 0
            total = max(0, current + amount)
            if amount > 0 and limit is not None and total > limit:
                return None, None
            if total == current:
                return total, None
            expires = read.fields["expires"] if read.is_live else None if ttl is None else read.at + ttl
            return total, {"number": total} | _lifetime(expires)

        if amount == 0:
            return add(await self._look("counter", key))[0]
        return await self._change("counter", key, add)

    async def ping(self) -> None:
        await self._look("value", "ping")

    async def close(self) -> None:
        """Close the connection, unless it was given. Closing twice does nothing."""
        self._closed = True
        opened, self._opened = self._opened, None
        if opened is not None and opened is not self._given:
            await opened._firestore_api.transport.close()  # noqa: SLF001 (its own close() leaves the channel open)

    async def _look(self, kind: _Kind, key: str) -> _Read:
        async with self._speaking() as client:
            return await _read(self._document(client, kind, key))

    async def _change(self, kind: _Kind, key: str, decide: _Decision[_T]) -> _T:
        """Decide from what the document holds and write it, as often as others come between.

        Each write leaves its own mark: where the answer to a commit was lost, the next attempt finds the mark and does
        not write again.
        """
        made: dict[str, _T] = {}

        async def attempt(transaction: AsyncTransaction) -> _T:
            document = self._document(client, kind, key)
            read = await _read(document, transaction)
            if (landed := read.fields.get("write", "")) in made:
                return made[landed]
            result, fields = decide(read)
            if fields is not None:
                write = new_id("write")
                made[write] = result
                transaction.set(document, {**fields, "write": write})
            return result

        # Those of one process take turns here, and so lose no time over transactions that overtake each other.
        turn = self._turns.setdefault(f"{kind}/{key}", asyncio.Lock())
        async with self._speaking() as client, turn:
            return await _insist(client, attempt)

    async def _page(self, prefix: str, after: str | None) -> list[_Read]:
        async with self._speaking() as client:
            query = _build_query(client, self._collection, prefix, after)
            return [_Read(found.to_dict() or {}, _moment(found.read_time)) async for found in query.stream()]

    @contextmanager
    def _scanning(self) -> Iterator[set[str]]:
        deleted: set[str] = set()
        self._scans.append(deleted)
        try:
            yield deleted
        finally:
            self._scans = [running for running in self._scans if running is not deleted]

    @asynccontextmanager
    async def _speaking(self) -> AsyncIterator[AsyncClient]:
        """The client, for a while; whatever it raises becomes ours."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                yield self._open()
        except driver_errors() as error:
            raise translate(error, self._project) from error

    def _open(self) -> AsyncClient:
        if self._closed:
            raise StoreUnavailable("the state store is closed")
        if self._opened is None:
            from google.cloud.firestore_v1 import AsyncClient

            self._opened = AsyncClient(project=self._project)
        return self._opened

    def _document(self, client: AsyncClient, kind: _Kind, key: str) -> AsyncDocumentReference:
        # A document's name may hold no slash, and a name such as `..` or `__x__` is reserved.
        return client.collection(self._collection).document(f"{kind}:{quote(key, safe='')}")


async def _insist(client: AsyncClient, attempt: Callable[[AsyncTransaction], Awaitable[_T]]) -> _T:
    """Run a transaction, again after a pause where the trouble may pass."""
    from google.cloud.firestore_v1 import async_transactional

    for pause in _PAUSES:
        try:
            return await async_transactional(attempt)(client.transaction(max_attempts=_ATTEMPTS))
        except driver_errors() as error:
            if not is_passing(error):
                raise
        await asyncio.sleep(pause)
    return await async_transactional(attempt)(client.transaction(max_attempts=_ATTEMPTS))


async def _read(document: AsyncDocumentReference, transaction: AsyncTransaction | None = None) -> _Read:
    snapshot = await document.get(transaction=transaction)
    return _Read(snapshot.to_dict() or {}, _moment(snapshot.read_time))


def _build_query(client: AsyncClient, collection: str, prefix: str, after: str | None) -> AsyncQuery:
    from google.cloud.firestore_v1.base_query import FieldFilter

    # Only values carry `key`, so the index of that field holds them and nothing else.
    start = FieldFilter("key", ">=", prefix) if after is None else FieldFilter("key", ">", after)
    values = client.collection(collection).where(filter=start).where(filter=FieldFilter("key", "<", prefix + _LAST))
    return values.order_by("key").limit(_PAGE)


def _lease_fields(lease: Lease, expires: datetime) -> _Fields:
    return {"owner": lease.owner, "fence": lease.fence} | _lifetime(expires)


def _lifetime(expires: datetime | None) -> dict[str, datetime | None]:
    return {"expires": expires, "delete_after": None if expires is None else expires + _GRACE}


def _holds(read: _Read, lease: Lease) -> bool:
    return (read.fields.get("owner"), read.fields.get("fence")) == (lease.owner, lease.fence)


def _entry(fields: _Fields) -> Entry:
    return Entry(fields["key"], fields["value"], fields["version"])


def _moment(read_time: Any) -> datetime:
    """A plain moment, without the nanoseconds that the library's carries."""
    since: timedelta = read_time - _EPOCH
    return _EPOCH + since
