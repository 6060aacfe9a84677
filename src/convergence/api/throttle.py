"""How many requests a caller may send, counted in this process with sliding windows."""

from __future__ import annotations

import time
from dataclasses import dataclass
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
    """What is left of a window."""

    limit: int
    remaining: int
    reset_seconds: int

    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_seconds),
        }


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
            raise await self._refusal(self._address, address, "from this address")

    async def check_failures(self, address: str) -> None:
        """
        Raises:
            RateLimited: too many wrong keys from one address; this one is not looked at.
        """
        if self._is_enabled and not await self._limiter.test(self._failures, address):
            raise await self._refusal(self._failures, address, "with wrong keys from this address")

    async def count_failure(self, address: str) -> None:
        if self._is_enabled:
            await self._limiter.hit(self._failures, address)

    async def count_organization(self, org_slug: str) -> Allowance | None:
        """What the organization has left of the minute; None where nothing is limited.

        Raises:
            RateLimited: its minute or its hour is used up.
        """
        if not self._is_enabled:
            return None
        for item in (self._org_minute, self._org_hour):
            if not await self._limiter.hit(item, org_slug):
                raise await self._refusal(item, org_slug, "of this organization")
        return await self._allowance(self._org_minute, org_slug)

    async def _allowance(self, item: RateLimitItem, key: str) -> Allowance:
        stats = await self._limiter.get_window_stats(item, key)
        seconds = max(0.0, stats.reset_time - time.time())
        return Allowance(item.amount, max(0, stats.remaining), int(-(-seconds // 1)))

    async def _refusal(self, item: RateLimitItem, key: str, whose: str) -> RateLimited:
        left = await self._allowance(item, key)
        error = RateLimited(
            f"more than {item.amount} requests {whose} in {item.get_expiry()} seconds",
            retry_after=max(1, left.reset_seconds),
            hint="Wait as long as Retry-After says.",
        )
        error.fields["limit"] = item.amount
        return error
