"""A mark per organization that changes with its keys and its plan, so that every process forgets what it cached."""

from __future__ import annotations

from typing import Final

from convergence.kit.ids import new_id
from convergence.state import StateStore

NEVER_CHANGED: Final = ""


class Epochs:
    """Marks are random, not counted: a store that was lost and started over cannot repeat one."""

    def __init__(self, state: StateStore) -> None:
        self._state = state

    async def current(self, org_slug: str) -> str:
        """The mark to read under. Take it before reading what is cached."""
        entry = await self._state.get(_key(org_slug))
        return NEVER_CHANGED if entry is None else entry.value.decode()

    async def advance(self, org_slug: str) -> None:
        """Make every process read anew. Call it after the change is written."""
        mark, written = new_id("epoch").encode(), None
        while written is None:
            entry = await self._state.get(_key(org_slug))
            written = await self._state.compare_and_set(_key(org_slug), entry.version if entry else None, mark)


def _key(org_slug: str) -> str:
    return f"{org_slug}/epoch"
