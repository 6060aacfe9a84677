"""When to leave a provider alone, and what retries may cost: pure, with the time passed in."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


class Breaker:
    """For one organization at one provider: opens after `failures` in a row; `open_seconds` later one probe decides."""

    def __init__(self, now: Callable[[], float], *, failures: int, open_seconds: float) -> None:
        self._now = now
        self._limit = failures
        self._open_seconds = open_seconds
        self._streak = 0
        self._opened_at: float | None = None
        self._probing = False

    def closed_in(self) -> float:
        """Seconds until a call may pass; 0 when it may. Asking takes nothing: see `enter`."""
        if self._opened_at is None:
            return 0.0
        if self._probing:
            return self._open_seconds
        waited = self._now() - self._opened_at
        # A clock set back must not keep the breaker open.
        return max(0.0, self._open_seconds - waited) if waited >= 0 else 0.0

    def enter(self) -> None:
        """A call goes out; of an open breaker it is the probe."""
        self._probing = self._opened_at is not None

    def leave(self) -> None:
        """A call ended without a verdict (cancelled): the next one may probe."""
        self._probing = False

    def succeed(self) -> None:
        self._streak, self._opened_at, self._probing = 0, None, False

    def fail(self) -> None:
        self._streak += 1
        if self._probing or self._streak >= self._limit:
            self._opened_at = self._now()
        self._probing = False


class Outage:
    """For one provider over all organizations: opens when at least `share` of its last `calls` or more have failed.

    Calls count for `window_seconds`. When it closes it knows nothing of before, so the next calls decide.
    """

    def __init__(
        self, now: Callable[[], float], *, calls: int, share: float, window_seconds: float, open_seconds: float
    ) -> None:
        self._now = now
        self._calls = calls
        self._share = share
        self._window = window_seconds
        self._open_seconds = open_seconds
        self._seen: deque[tuple[float, bool]] = deque()
        self._opened_at = -math.inf

    def closed_in(self) -> float:
        """Seconds until calls may pass; 0 when they may."""
        waited = self._now() - self._opened_at
        return max(0.0, self._open_seconds - waited) if waited >= 0 else 0.0

    def record(self, *, failed: bool) -> None:
        """One call has ended: with an answer of any kind, or with a failure of the provider."""
        now = self._now()
        self._seen.append((now, failed))
        while not now - self._window <= self._seen[0][0] <= now:
            self._seen.popleft()
        failures = sum(failed for _, failed in self._seen)
        if len(self._seen) >= self._calls and failures >= self._share * len(self._seen):
            self._opened_at = now
            self._seen.clear()


@dataclass(slots=True)
class RetryBudget:
    """Retries are paid for by successes, so that an outage is not answered with a multiple of the load."""

    capacity: float
    refund: float
    tokens: float

    @classmethod
    def full(cls, capacity: float, refund: float) -> RetryBudget:
        return cls(capacity, refund, capacity)

    def spend(self) -> bool:
        """Take one retry; False when none is left."""
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def earn(self) -> None:
        self.tokens = min(self.capacity, self.tokens + self.refund)
