"""What the client remembers of one organization's credential at one provider, so that none slows down another."""

from __future__ import annotations

import asyncio

from aiolimiter import AsyncLimiter

from convergence.connectors.breaker import Breaker, Outage, RetryBudget
from convergence.connectors.policy import HttpPolicy
from convergence.errors import ProviderRejected, ProviderUnavailable
from convergence.kit.clock import Clock


class Lane:
    """Breaker, budget, pacing, and the moment before which the provider wants no request."""

    def __init__(self, org_slug: str, provider: str, policy: HttpPolicy, clock: Clock, outage: Outage) -> None:
        self.org_slug = org_slug
        self.provider = provider
        self.rate: float | None = None
        self.budget = RetryBudget.full(policy.budget_capacity, policy.budget_refund)
        self.breaker = Breaker(
            lambda: clock.now().timestamp(), failures=policy.breaker_failures, open_seconds=policy.breaker_open
        )
        self.outage = outage
        self.slots = asyncio.Semaphore(policy.org_concurrency)
        self._limiter: AsyncLimiter | None = None
        self._refusal: ProviderRejected | None = None
        self._quiet_until = 0.0  # of the event loop's clock

    def set_rate(self, rate: float | None) -> None:
        if rate != self.rate:
            self.rate, self._limiter = rate, _build_limiter(rate)

    def hold(self, seconds: float) -> None:
        """Send nothing for so long: the provider asked for it, of every request and not of one."""
        self._quiet_until = max(self._quiet_until, asyncio.get_running_loop().time() + seconds)

    def quiet_for(self) -> float:
        return max(0.0, self._quiet_until - asyncio.get_running_loop().time())

    async def wait_turn(self, patience: float) -> None:
        """Wait for what the provider asked and for the pace.

        Raises:
            ProviderUnavailable: the breaker is open, or the wait is longer than `patience` seconds.
        """
        self.check_breaker()
        while quiet := self.quiet_for():
            if quiet > patience:
                raise ProviderUnavailable(
                    f"{self.provider} wants no request for another {quiet:.0f} s",
                    retry_after=quiet,
                    code="provider_paused",
                )
            patience -= quiet
            await asyncio.sleep(quiet)
        if self._limiter is not None:
            await self._limiter.acquire()

    def fail(self, refusal: ProviderRejected | None) -> None:
        """Count a failure; a refusal of the credential is remembered as the answer while the breaker is open."""
        self._refusal = refusal
        self.breaker.fail()
        self.outage.record(failed=refusal is None)

    def succeed(self) -> None:
        """Count an answer."""
        self.breaker.succeed()
        self.outage.record(failed=False)

    def check_breaker(self) -> None:
        """Let a call through, or not.

        Raises:
            ProviderRejected: the provider refused this credential several times; the answer is still the same.
            ProviderUnavailable: it failed too often in a row, or for everybody, and is left alone for now.
        """
        wait = self.breaker.closed_in()
        if wait and self._refusal is not None:
            raise _repeat(self._refusal)
        if wait:
            raise ProviderUnavailable(
                f"{self.provider} failed several times in a row for {self.org_slug}; it is left alone for {wait:.0f} s",
                retry_after=wait,
                code="breaker_open",
            )
        if outage := self.outage.closed_in():
            raise ProviderUnavailable(
                f"{self.provider} fails for everybody; it is left alone for {outage:.0f} s",
                retry_after=outage,
                code="provider_outage",
            )


def _repeat(refusal: ProviderRejected) -> ProviderRejected:
    return ProviderRejected(
        refusal.message, status=refusal.status, code=refusal.code, hint=refusal.hint, fields=refusal.fields
    )


def _build_limiter(rate: float | None) -> AsyncLimiter | None:
    # One at a time, evenly spaced: a burst is what providers answer with 429.
    return AsyncLimiter(1, 1 / rate) if rate else None
