"""Changes that read before they write, from any number of processes."""

from __future__ import annotations

import asyncio

import pytest

from convergence.errors import Conflict
from convergence.kit.clock import SystemClock
from convergence.state import take_turn

KEY = "acme/costs/openai"


async def test_one_at_a_time_goes_through_read_and_write(store):
    entries: list[int] = []

    async def append() -> None:
        async with take_turn(store, SystemClock(), KEY, "the price book"):
            seen = len(entries)
            await asyncio.sleep(0.001)
            entries.append(seen)

    await asyncio.gather(*(append() for _ in range(8)))

    assert entries == list(range(8))


async def test_who_waits_too_long_is_told_what_is_busy(store, clock):
    async with take_turn(store, clock, KEY, "the price book"):
        with pytest.raises(Conflict, match="the price book is being changed by others"):
            async with take_turn(store, clock, KEY, "the price book"):
                pass


async def test_a_turn_that_fails_is_given_back(store, clock):
    with pytest.raises(ZeroDivisionError):
        async with take_turn(store, clock, KEY, "the price book"):
            raise ZeroDivisionError

    assert await store.holder(KEY) is None


async def test_other_keys_do_not_wait(store, clock):
    async with take_turn(store, clock, KEY, "the price book"), take_turn(store, clock, "acme/costs/cursor", "others"):
        assert await store.holder("acme/costs/cursor") is not None
