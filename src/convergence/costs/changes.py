"""Prices and plans are read before they are written, so that none overlaps: one change at a time."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from convergence.kit.clock import Clock
from convergence.state import StateStore, take_turn
from convergence.tenancy import OrgScope


def change_alone(state: StateStore, clock: Clock, org: OrgScope, provider: str) -> AbstractAsyncContextManager[None]:
    """Hold the prices and plans of an organization at a provider for the block.

    Raises:
        Conflict: others kept changing them for ten seconds.
    """
    return take_turn(state, clock, f"{org.org_slug}/costs/{provider}", f"what {org.org_slug} pays {provider}")
