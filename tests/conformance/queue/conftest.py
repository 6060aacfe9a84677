"""Every queue that is asked for messages, the same tests. A new queue adds one row to BACKENDS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from convergence.queue import PullQueue
from convergence.queue.local import LocalQueue
from convergence.queue.redis import RedisQueue


@dataclass(frozen=True)
class Backend:
    name: str
    open: Callable[[pytest.FixtureRequest, timedelta], PullQueue]


def _local(_request: pytest.FixtureRequest, visibility: timedelta) -> PullQueue:
    return LocalQueue(visibility=visibility)


def _redis(request: pytest.FixtureRequest, visibility: timedelta) -> PullQueue:
    return RedisQueue(request.getfixturevalue("local_redis").url, prefix="conformance", visibility=visibility)


VISIBILITY = timedelta(seconds=2)
BACKENDS = (Backend("local", _local), Backend("redis", _redis))


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.name)
async def queue(request: pytest.FixtureRequest) -> AsyncIterator[PullQueue]:
    """A claim lasts longer than a test."""
    opened = request.param.open(request, timedelta(minutes=10))
    yield opened
    await opened.close()


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.name)
async def impatient_queue(request: pytest.FixtureRequest) -> AsyncIterator[PullQueue]:
    """Claims come again after two seconds, which a test that answers in time must not spend."""
    opened = request.param.open(request, VISIBILITY)
    yield opened
    await opened.close()
