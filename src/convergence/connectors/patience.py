"""Whether a failed request is worth another try, and when. stamina does the waiting, this decides."""

from __future__ import annotations

import random
import time

from convergence.connectors.lanes import Lane
from convergence.connectors.policy import HttpPolicy
from convergence.errors import ProviderMisbehaved, ProviderRejected, ProviderUnavailable


class Patience:
    """Decides, after a failure, whether to try again and how long to wait: within the deadline, or not at all."""

    def __init__(self, lane: Lane, policy: HttpPolicy, *, guesses_pauses: bool = True) -> None:
        self._lane = lane
        self._policy = policy
        self._guesses_pauses = guesses_pauses
        self._ends = time.monotonic() + policy.deadline
        self._failures = 0
        self._odd_contents = 0

    def left(self) -> float:
        return max(0.0, self._ends - time.monotonic())

    def judge(self, error: Exception) -> bool | float:
        """What stamina asks: the seconds to wait, or False to give up."""
        self._failures += 1
        if self._lane.breaker.closed_in() or not self._is_worth_it(error) or self._has_asked_enough(error):
            return False
        wait = self._wait(error)
        if wait is None or wait >= self.left():
            return False
        asked = isinstance(error, ProviderUnavailable) and error.retry_after is not None
        return wait if asked or self._lane.budget.spend() else False

    def _is_worth_it(self, error: Exception) -> bool:
        match error:
            case ProviderMisbehaved(code="content_type_unexpected"):
                self._odd_contents += 1
                return self._odd_contents == 1
            case ProviderUnavailable(code="breaker_open" | "provider_outage" | "provider_paused"):
                return False
            case ProviderUnavailable(code="provider_rate_limited", retry_after=None):
                return self._guesses_pauses
            case ProviderUnavailable():
                return True
            case _:
                return False

    def needs_action(self, error: Exception) -> bool:
        """Whether it is a 429 that no waiting cures, such as an exhausted quota: those name no time to come back."""
        if not isinstance(error, ProviderUnavailable) or error.retry_after is not None:
            return False
        said = {error.fields.get("code"), error.fields.get("type")}
        return error.fields.get("status") == 429 and not said.isdisjoint(self._policy.user_action_codes)

    def _has_asked_enough(self, error: Exception) -> bool:
        return self.needs_action(error) and self._failures >= self._policy.user_action_attempts

    def _wait(self, error: Exception) -> float | None:
        asked = error.retry_after if isinstance(error, ProviderUnavailable) else None
        if asked is not None:
            return asked if asked <= self._policy.retry_after_cap else None
        ceiling = min(self._policy.backoff_cap, self._policy.backoff_base * 2 ** (self._failures - 1))
        return random.uniform(0, ceiling)  # noqa: S311 (jitter, not a secret)


def quota_exhausted(error: ProviderUnavailable) -> ProviderRejected:
    return ProviderRejected(
        error.message,
        status=429,
        code="provider_quota_exhausted",
        hint="The account at the provider has used up its quota or its credit; raise it there.",
        fields=error.fields,
    )
