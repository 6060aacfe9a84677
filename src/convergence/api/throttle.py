"""How many requests a caller may send, counted with sliding windows."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

import structlog
from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError

from convergence.errors import RateLimited
from convergence.settings import Settings

if TYPE_CHECKING:
    from convergence.state.redis_windows import RedisWindows

log = structlog.get_logger(__name__)

_ADDRESS_FACTOR: Final = 10  # organizations behind one address before the address itself is the limit
_MIN_PER_ADDRESS: Final = 600
_MIN_FAILURES: Final = 600  # per minute; a key has 256 random bits, this only spares the warehouse
_ALONE_SECONDS: Final = 5.0  # a Redis that failed is left in peace, so that not every request waits for it

_Answer = TypeVar("_Answer")


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


class Windows:
    """Sliding windows: shared through Redis where there is one, of this process alone while it does not answer."""

    def __init__(self, shared: RedisWindows | None = None) -> None:
        self._storage = shared
        self._shared = SlidingWindowCounterRateLimiter(shared) if shared is not None else None
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._alone_until = 0.0

    async def ask(self, question: Callable[[SlidingWindowCounterRateLimiter], Awaitable[_Answer]]) -> _Answer:
        if self._shared is None or time.monotonic() < self._alone_until:
            return await question(self._own)
        try:
            return await question(self._shared)
        except StorageError:
            self._alone_until = time.monotonic() + _ALONE_SECONDS
            log.warning("requests are counted by this process alone: Redis does not answer")
            return await question(self._own)

    async def close(self) -> None:
        if self._storage is not None:
            await self._storage.close()


def open_windows(settings: Settings) -> Windows:
    """Windows that are shared by every process with LOCK_BACKEND=redis."""
    if settings.lock_backend != "redis" or settings.redis_url is None or not settings.rate_limit_enabled:
        return Windows()
    from convergence.state.redis_windows import RedisWindows

    return Windows(RedisWindows(settings.redis_url.get_secret_value(), prefix=settings.redis_prefix))


class Throttle:
    """Counts requests by organization and by address."""

    def __init__(self, settings: Settings) -> None:
        self._is_enabled = settings.rate_limit_enabled
        self._windows = open_windows(settings)
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
        if self._is_enabled and not await self._hit(self._address, address):
            raise (await self._allowance(self._address, address)).refusal("from this address")

    async def check_failures(self, address: str) -> None:
        """
        Raises:
            RateLimited: too many wrong keys from one address; this one is not looked at.
        """
        if self._is_enabled and await self._is_full(self._failures, address):
            raise (await self._allowance(self._failures, address)).refusal("with wrong keys from this address")

    async def count_failure(self, address: str) -> None:
        if self._is_enabled:
            await self._hit(self._failures, address)

    async def count_organization(self, org_slug: str) -> Allowance | None:
        """What the organization has left of its minute, or of the window it exceeds; None where nothing is limited."""
        if not self._is_enabled:
            return None
        for item in (self._org_minute, self._org_hour):
            if not await self._hit(item, org_slug):
                return replace(await self._allowance(item, org_slug), is_exceeded=True)
        return await self._allowance(self._org_minute, org_slug)

    async def aclose(self) -> None:
        await self._windows.close()

    async def _hit(self, item: RateLimitItem, key: str) -> bool:
        return await self._windows.ask(lambda limiter: limiter.hit(item, key))

    async def _is_full(self, item: RateLimitItem, key: str) -> bool:
        return not await self._windows.ask(lambda limiter: limiter.test(item, key))

    async def _allowance(self, item: RateLimitItem, key: str) -> Allowance:
        stats = await self._windows.ask(lambda limiter: limiter.get_window_stats(item, key))
        seconds = max(0.0, stats.reset_time - time.time())
        return Allowance(item.amount, max(0, stats.remaining), math.ceil(seconds), item.get_expiry())
