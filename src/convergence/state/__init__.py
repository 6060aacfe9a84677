"""Operational state that needs compare-and-set: leases with fences, counters, idempotency keys."""

from convergence.state.protocol import Entry, Lease, StateStore
from convergence.state.turns import take_turn

__all__ = ["Entry", "Lease", "StateStore", "take_turn"]
