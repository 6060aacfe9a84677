"""The pace of a provider that counts requests by the minute and names no time to come back."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from convergence.kit.clock import Clock

_MINUTE = timedelta(minutes=1)
_CLOCKS_DIFFER = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class MinuteLimit:
    """At most so many requests a minute over all requests of one credential that go by the same `name`."""

    name: str
    requests: int


class MinutePace:
    """No minute, whenever it begins, holds more requests than the limit. Short work is not slowed down at all."""

    def __init__(self, clock: Clock, limit: int) -> None:
        self.limit = limit
        self._clock = clock
        self._sent: deque[datetime] = deque()

    async def wait_turn(self) -> None:
        """Wait until another request fits, and count it."""
        while len(self._sent) >= self.limit and (wait := self._free_in()) > timedelta():
            await self._clock.sleep(wait)
        self._forget()
        self._sent.append(self._clock.now())

    async def wait_for_next_minute(self) -> None:
        """The provider has counted more than was sent from here: others use the same allowance."""
        now = self._clock.now()
        begun = timedelta(seconds=now.second, microseconds=now.microsecond)
        await self._clock.sleep(_MINUTE - begun + _CLOCKS_DIFFER)

    def _free_in(self) -> timedelta:
        return self._sent[-self.limit] + _MINUTE - self._clock.now()

    def _forget(self) -> None:
        while self._sent and self._sent[0] <= self._clock.now() - _MINUTE:
            self._sent.popleft()
