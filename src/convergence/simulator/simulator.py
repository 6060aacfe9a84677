"""The simulator: accounts, a clock, faults and a count of requests."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from convergence.kit.clock import Clock, SystemClock
from convergence.simulator.account import Account
from convergence.simulator.faults import FaultScript
from convergence.simulator.journal import Journal
from convergence.simulator.spool import Spool


class Simulator:
    """Providers' accounts on one server. `keeps_bodies` renders each bucket once and keeps it on disk."""

    def __init__(self, *, clock: Clock | None = None, seed: int = 7, keeps_bodies: bool = False) -> None:
        self.clock: Clock = clock or SystemClock()
        self.faults = FaultScript(seed)
        self.journal = Journal()
        self.spool = Spool() if keeps_bodies else None
        self.accounts: dict[tuple[str, str], Account[Any]] = {}

    def add_account(
        self, key: str, world: Any, *, provider: str = "openai", scopes: frozenset[str] | None = None
    ) -> Account[Any]:
        """Let a key open a world. Without `scopes` it may read everything."""
        from convergence.simulator.providers import PROVIDERS

        account = Account(provider, key, world, PROVIDERS[provider].scopes if scopes is None else scopes)
        self.accounts[provider, key] = account
        return account

    def account(self, provider: str, key: str) -> Account[Any] | None:
        return self.accounts.get((provider, key))

    def revise(self, kind: str, days: Iterable[date], *, share: float = 0.05, key: str | None = None) -> None:
        """Let the provider change past days of one account, or of all: see the world's `revise`.

        Raises:
            KeyError: no such account.
            ValueError: an unknown kind, or a share outside 0 to 1.
        """
        changed = list(days)
        for account in self._accounts(key):
            account.world.revise(kind, changed, share=share)

    def revision(self) -> int:
        """How often the providers have changed their minds."""
        return sum(account.world.revision for account in self.accounts.values())

    def truth(self, key: str | None = None) -> dict[str, Any]:
        """Exact totals of the account with this key, or of the first one, as the provider states them now.

        Raises:
            KeyError: no such account.
        """
        truth: dict[str, Any] = self._accounts(key)[0].world.truth(self.clock.now())
        return truth

    def _accounts(self, key: str | None) -> list[Account[Any]]:
        found = [account for account in self.accounts.values() if key in {None, account.key}]
        if not found:
            raise KeyError("no account with this key")
        return found

    def reset(self) -> None:
        """Forget faults, requests and every change of mind."""
        self.faults.clear()
        self.journal.clear()
        for account in self.accounts.values():
            account.world.reset()

    def close(self) -> None:
        if self.spool is not None:
            self.spool.close()
