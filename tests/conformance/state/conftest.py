"""Every state store, the same tests. A new store adds one row to BACKENDS: how it is opened, and how time passes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest
from google_fakes.firestore import FakeFirestore, serving_firestore
from redis_server import LocalRedis

from convergence.kit.clock import ManualClock
from convergence.state import StateStore
from convergence.state.firestore import FirestoreStateStore
from convergence.state.memory import MemoryStateStore
from convergence.state.redis import RedisStateStore

MORNING = datetime(2026, 11, 20, 8, tzinfo=UTC)


class Site(Protocol):
    """Where a store's data lies: it can be opened again, and time can pass in it."""

    def open(self) -> StateStore: ...

    async def pass_time(self, duration: timedelta, /) -> None: ...


@dataclass(frozen=True)
class MemorySite:
    path: Path | None
    clock: ManualClock

    def open(self) -> StateStore:
        return MemoryStateStore(self.path, clock=self.clock)

    async def pass_time(self, duration: timedelta, /) -> None:
        await self.clock.sleep(duration)


@dataclass(frozen=True)
class RedisSite:
    """The server's clock cannot be moved, so what it keeps is made older."""

    server: LocalRedis

    def open(self) -> StateStore:
        return RedisStateStore(self.server.url, prefix="conformance")

    async def pass_time(self, duration: timedelta, /) -> None:
        self.server.age("{conformance}:state:", duration.total_seconds())


@dataclass(frozen=True)
class FirestoreSite:
    """Reached as the library's users reach an emulator; its server's time is the test's clock."""

    clock: ManualClock

    def open(self) -> StateStore:
        return FirestoreStateStore("convergence-test", "pipeline_locks")

    async def pass_time(self, duration: timedelta, /) -> None:
        await self.clock.sleep(duration)


@dataclass(frozen=True)
class Backend:
    name: str
    build: Callable[[pytest.FixtureRequest], Site]
    survives_restart: bool = True


def _memory(request: pytest.FixtureRequest) -> Site:
    return MemorySite(None, request.getfixturevalue("clock"))


def _memory_file(request: pytest.FixtureRequest) -> Site:
    return MemorySite(request.getfixturevalue("tmp_path") / "state.duckdb", request.getfixturevalue("clock"))


def _redis(request: pytest.FixtureRequest) -> Site:
    return RedisSite(request.getfixturevalue("local_redis"))


def _firestore(request: pytest.FixtureRequest) -> Site:
    request.getfixturevalue("fake_firestore")
    return FirestoreSite(request.getfixturevalue("clock"))


BACKENDS = (
    Backend("memory", _memory, survives_restart=False),
    Backend("memory-file", _memory_file),
    Backend("redis", _redis),
    Backend("firestore", _firestore),
)


@pytest.fixture
def clock() -> ManualClock:
    """The clock of the stores that have none of their own."""
    return ManualClock(MORNING)


@pytest.fixture
def fake_firestore(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeFirestore]:
    fake = FakeFirestore(clock.now)
    with serving_firestore(fake) as address:
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", address)
        yield fake


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that opens a store again runs where the data outlasts the store."""
    if "site" in metafunc.fixturenames:
        backends = [each for each in BACKENDS if each.survives_restart or "reopen" not in metafunc.fixturenames]
        metafunc.parametrize("site", backends, ids=[each.name for each in backends], indirect=True)


@pytest.fixture
def site(request: pytest.FixtureRequest) -> Site:
    return request.param.build(request)


@pytest.fixture
def pass_time(site: Site) -> Callable[[timedelta], Awaitable[None]]:
    return site.pass_time


@pytest.fixture
async def store(site: Site) -> AsyncIterator[StateStore]:
    opened = site.open()
    yield opened
    await opened.close()


@pytest.fixture
async def reopen(site: Site) -> AsyncIterator[Callable[[], Awaitable[StateStore]]]:
    """Closes the store that is open and opens it again, as a restart does. For sites whose data outlasts a store."""
    opened: list[StateStore] = []

    async def again() -> StateStore:
        for store in opened:
            await store.close()
        opened.append(site.open())
        return opened[-1]

    yield again
    for store in opened:
        await store.close()
