"""The queue of a single process: asyncio and nothing to install."""

from __future__ import annotations

import asyncio
import heapq
from collections import OrderedDict, deque
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count

from convergence.errors import StoreUnavailable
from convergence.queue.protocol import Message


@dataclass(frozen=True, slots=True)
class _Claim:
    message: Message
    until: float


class LocalQueue:
    """A Queue that ends with the process; the sweeper announces again what was waiting.

    A claimed message comes again after `visibility` unless it was extended, done or retried. Times are those of the
    event loop, so setting the machine's clock moves nothing.
    """

    def __init__(self, *, visibility: timedelta) -> None:
        self._visibility = visibility.total_seconds()
        self._ready: OrderedDict[str, deque[Message]] = OrderedDict()
        self._delayed: list[tuple[float, int, Message]] = []
        self._claims: dict[str, _Claim] = {}
        self._waiting: set[tuple[str, str, int]] = set()
        self._numbers = count(1)
        self._changed = asyncio.Event()
        self._closed = False

    async def put(self, message: Message, /, *, delay: timedelta = timedelta()) -> None:
        self._refuse_closed()
        self._announce(replace(message, receipt=""), delay.total_seconds())

    async def claim(self, /, *, wait: timedelta) -> Message | None:
        self._refuse_closed()
        deadline = _now() + wait.total_seconds()
        while (message := self._take()) is None and not self._closed:
            pause = min(deadline, self._next_event()) - _now()
            if _now() >= deadline:
                return None
            self._changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), max(0.0, pause))
        return message

    async def extend(self, message: Message, /) -> None:
        if message.receipt in self._claims:
            self._claims[message.receipt] = _Claim(message, _now() + self._visibility)

    async def done(self, message: Message, /) -> None:
        self._claims.pop(message.receipt, None)

    async def retry(self, message: Message, /, *, delay: timedelta) -> None:
        """A claim that has run out is left alone: its message is on its way again already."""
        if self._claims.pop(message.receipt, None) is not None:
            self._announce(replace(message, receipt="", attempt=message.attempt + 1), delay.total_seconds())

    async def ping(self) -> None:
        self._refuse_closed()

    async def close(self) -> None:
        """Waiting claims return None at once."""
        self._closed = True
        self._ready.clear()
        self._delayed.clear()
        self._claims.clear()
        self._changed.set()

    def _announce(self, message: Message, delay: float) -> None:
        if _identity(message) in self._waiting:
            return
        self._waiting.add(_identity(message))
        if delay > 0:
            heapq.heappush(self._delayed, (_now() + delay, next(self._numbers), message))
        else:
            self._ready.setdefault(message.org_slug, deque()).append(message)
        self._changed.set()

    def _take(self) -> Message | None:
        """The first message of the organization whose turn it is; the organization then goes to the end."""
        self._promote_due()
        if not self._ready:
            return None
        org_slug, messages = self._ready.popitem(last=False)
        message = messages.popleft()
        if messages:
            self._ready[org_slug] = messages
        self._waiting.discard(_identity(message))
        claimed = replace(message, receipt=str(next(self._numbers)))
        self._claims[claimed.receipt] = _Claim(claimed, _now() + self._visibility)
        return claimed

    def _promote_due(self) -> None:
        now = _now()
        while self._delayed and self._delayed[0][0] <= now:
            _, _, message = heapq.heappop(self._delayed)
            self._ready.setdefault(message.org_slug, deque()).append(message)
        for receipt in [receipt for receipt, claim in self._claims.items() if claim.until <= now]:
            self._announce(replace(self._claims.pop(receipt).message, receipt=""), 0)

    def _next_event(self) -> float:
        """When something becomes due by itself."""
        times = [claim.until for claim in self._claims.values()]
        times += [self._delayed[0][0]] if self._delayed else []
        return min(times, default=float("inf"))

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StoreUnavailable("the queue is closed")


def _identity(message: Message) -> tuple[str, str, int]:
    return message.org_slug, message.run_id, message.attempt


def _now() -> float:
    return asyncio.get_running_loop().time()
