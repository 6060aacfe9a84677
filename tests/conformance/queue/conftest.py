"""Every queue that is asked for messages, the same tests. A new queue adds one row to BACKENDS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from convergence.queue import PullQueue
from convergence.queue.local import LocalQueue


@dataclass(frozen=True)
class Backend:
    name: str
    open: Callable[[timedelta], PullQueue]


BACKENDS = (Backend("local", lambda visibility: LocalQueue(visibility=visibility)),)
VISIBILITY = timedelta(milliseconds=200)


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.name)
async def queue(request: pytest.FixtureRequest) -> AsyncIterator[PullQueue]:
    """Claims come again after 200 ms."""
    opened = request.param.open(VISIBILITY)
    yield opened
    await opened.close()
