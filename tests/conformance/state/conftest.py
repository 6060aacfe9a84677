"""Every state store, the same tests. A new store adds one row to BACKENDS and a way to let time pass."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from convergence.kit.clock import ManualClock
from convergence.state import StateStore
from convergence.state.memory import MemoryStateStore

MORNING = datetime(2026, 11, 20, 8, tzinfo=UTC)


@dataclass(frozen=True)
class Backend:
    name: str
    open: Callable[[Path, ManualClock], StateStore]
    survives_restart: bool = True


BACKENDS = (
    Backend("memory", lambda _folder, clock: MemoryStateStore(clock=clock), survives_restart=False),
    Backend("memory-file", lambda folder, clock: MemoryStateStore(folder / "state.duckdb", clock=clock)),
)


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.name)
def backend(request: pytest.FixtureRequest) -> Backend:
    return request.param


@pytest.fixture(params=[each for each in BACKENDS if each.survives_restart], ids=lambda backend: backend.name)
def lasting_backend(request: pytest.FixtureRequest) -> Backend:
    return request.param


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(MORNING)


@pytest.fixture
def pass_time(clock: ManualClock) -> Callable[[timedelta], Awaitable[None]]:
    return clock.sleep


@pytest.fixture
async def store(backend: Backend, tmp_path: Path, clock: ManualClock) -> AsyncIterator[StateStore]:
    opened = backend.open(tmp_path, clock)
    yield opened
    await opened.close()


@pytest.fixture
async def reopen(
    lasting_backend: Backend, tmp_path: Path, clock: ManualClock
) -> AsyncIterator[Callable[[], Awaitable[StateStore]]]:
    """Closes the store that is open and opens it again, as a restart does."""
    opened: list[StateStore] = []

    async def again() -> StateStore:
        for store in opened:
            await store.close()
        opened.append(lasting_backend.open(tmp_path, clock))
        return opened[-1]

    yield again
    for store in opened:
        await store.close()
