"""How many requests a caller may send, counted in this process with sliding windows."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Final

from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from convergence.errors import RateLimited
from convergence.settings import Settings

_ADDRESS_FACTOR: Final = 10  # organizations behind one address before the address itself is the limit
_MIN_PER_ADDRESS: Final = 600
_MIN_FAILURES: Final = 600  # per minute; a key has 256 random bits, this only spares the warehouse


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a window; where it is exceeded, the request that asked is over it."""

    limit: int
    remaining: int
    reset_seconds: int
    window_seconds: int
    is_exceeded: bool = False

    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_seconds),
        }

    def refusal(self, whose: str) -> RateLimited:
        return RateLimited(
            f"more than {self.limit} requests {whose} in {self.window_seconds} seconds",
            retry_after=max(1, self.reset_seconds),
            hint="Wait as long as Retry-After says.",
        )


class Throttle:
    """Counts requests by organization and by address. Each process counts for itself."""

    def __init__(self, settings: Settings) -> None:
        self._is_enabled = settings.rate_limit_enabled
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        per_minute = settings.rate_limit_requests_per_minute
        self._org_minute = RateLimitItemPerMinute(per_minute, namespace="org")
        self._org_hour = RateLimitItemPerHour(settings.rate_limit_requests_per_hour, namespace="org")
        self._address = RateLimitItemPerMinute(max(_MIN_PER_ADDRESS, per_minute * _ADDRESS_FACTOR), namespace="address")
        self._failures = RateLimitItemPerMinute(max(_MIN_FAILURES, per_minute), namespace="failures")

    async def count_address(self, address: str) -> None:
        """
        Raises:
            RateLimited: too many requests from one address.
        """
        if self._is_enabled and not await self._limiter.hit(self._address, address):
            raise (await self._allowance(self._address, address)).refusal("from this address")

    async def check_failures(self, address: str) -> None:
        """
        Raises:
            RateLimited: too many wrong keys from one address; this one is not looked at.
        """
        if self._is_enabled and not await self._limiter.test(self._failures, address):
            raise (await self._allowance(self._failures, address)).refusal("with wrong keys from this address")

    async def count_failure(self, address: str) -> None:
        if self._is_enabled:
            await self._limiter.hit(self._failures, address)

    async def count_organization(self, org_slug: str) -> Allowance | None:
        """What the organization has left of its minute, or of the window it exceeds; None where nothing is limited."""
        if not self._is_enabled:
            return None
        for item in (self._org_minute, self._org_hour):
            if not await self._limiter.hit(item, org_slug):
                return replace(await self._allowance(item, org_slug), is_exceeded=True)
        return await self._allowance(self._org_minute, org_slug)

    async def _allowance(self, item: RateLimitItem, key: str) -> Allowance:
        stats = await self._limiter.get_window_stats(item, key)
        seconds = max(0.0, stats.reset_time - time.time())
        return Allowance(item.amount, max(0, stats.remaining), math.ceil(seconds), item.get_expiry())
