"""Operational state that needs compare-and-set: leases with fences, counters, idempotency keys."""

from convergence.state.protocol import Entry, Lease, StateStore

__all__ = ["Entry", "Lease", "StateStore"]
