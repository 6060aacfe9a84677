"""The clock, passed in, so that a test can stand in any moment."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Time in UTC, and waiting."""

    def now(self) -> datetime: ...

    async def sleep(self, duration: timedelta, /) -> None: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, duration: timedelta, /) -> None:
        await asyncio.sleep(max(0.0, duration.total_seconds()))


class ManualClock:
    """A clock that stands still until it is moved; sleeping moves it."""

    def __init__(self, now: datetime) -> None:
        self._now = now.astimezone(UTC)

    def now(self) -> datetime:
        return self._now

    def advance(self, duration: timedelta) -> None:
        self._now += duration

    async def sleep(self, duration: timedelta, /) -> None:
        self.advance(max(duration, timedelta()))
        await asyncio.sleep(0)


def today(clock: Clock) -> date:
    """The current day in UTC."""
    return clock.now().date()
