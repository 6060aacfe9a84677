"""Changes that read before they write, one at a time over every process that shares the state store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from convergence.errors import Conflict
from convergence.kit.clock import Clock
from convergence.kit.ids import new_id
from convergence.state.protocol import StateStore

_HELD: Final = timedelta(minutes=1)
_PAUSE: Final = timedelta(milliseconds=100)
_TRIES: Final = 100


@asynccontextmanager
async def take_turn(state: StateStore, clock: Clock, key: str, what: str) -> AsyncIterator[None]:
    """Wait for the lease of `key`, up to ten seconds, and hold it for the block.

    Raises:
        Conflict: others kept changing it; `what` names it.
    """
    owner = new_id("change")
    for _ in range(_TRIES):
        lease = await state.acquire(key, owner, _HELD)
        if lease is not None:
            break
        await clock.sleep(_PAUSE)
    else:
        raise Conflict(f"{what} is being changed by others", hint="Try again in a moment.")
    try:
        yield
    finally:
        await state.release(lease)
