"""Every queue that is asked for messages, the same tests. A new queue adds one row to BACKENDS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from convergence.queue import PullQueue
from convergence.queue.local import LocalQueue
from convergence.queue.redis import RedisQueue

VISIBILITY = timedelta(milliseconds=200)


@dataclass(frozen=True)
class Backend:
    name: str
    open: Callable[[pytest.FixtureRequest], PullQueue]


def _local(_request: pytest.FixtureRequest) -> PullQueue:
    return LocalQueue(visibility=VISIBILITY)


def _redis(request: pytest.FixtureRequest) -> PullQueue:
    url = request.getfixturevalue("local_redis").url
    return RedisQueue(url, prefix="conformance", visibility=VISIBILITY)


BACKENDS = (Backend("local", _local), Backend("redis", _redis))


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.name)
async def queue(request: pytest.FixtureRequest) -> AsyncIterator[PullQueue]:
    """Claims come again after 200 ms."""
    opened = request.param.open(request)
    yield opened
    await opened.close()
