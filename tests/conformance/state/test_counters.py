from __future__ import annotations

import asyncio
from datetime import timedelta

HOUR = timedelta(hours=1)


async def test_a_counter_counts_from_zero(store):
    assert await store.count("acme/runs/2026-11-20", 1) == 1
    assert await store.count("acme/runs/2026-11-20", 5) == 6


async def test_zero_reads_without_making_a_counter(store):
    assert await store.count("acme/runs/2026-11-20", 0) == 0
    assert await store.count("acme/runs/2026-11-20", 3) == 3
    assert await store.count("acme/runs/2026-11-20", 0, limit=1) == 3


async def test_the_limit_itself_is_reached_and_not_passed(store):
    assert await store.count("acme/slots", 2, limit=3) == 2
    assert await store.count("acme/slots", 2, limit=3) is None
    assert await store.count("acme/slots", 1, limit=3) == 3
    assert await store.count("acme/slots", 0) == 3


async def test_160_at_once_are_granted_exactly_50(store):
    grants = await asyncio.gather(*(store.count("acme/slots", 1, limit=50) for _ in range(160)))

    assert sorted(grant for grant in grants if grant is not None) == list(range(1, 51))
    assert await store.count("acme/slots", 0) == 50


async def test_giving_back_makes_room_and_never_falls_below_zero(store):
    await store.count("acme/slots", 1, limit=1)
    assert await store.count("acme/slots", -1, limit=1) == 0
    assert await store.count("acme/slots", -5) == 0

    assert await store.count("acme/slots", 1, limit=1) == 1


async def test_giving_back_works_above_a_lowered_limit(store):
    await store.count("acme/slots", 5, limit=5)

    assert await store.count("acme/slots", -1, limit=2) == 4


async def test_a_counter_expires_as_its_first_count_said(store, pass_time):
    await store.count("acme/rate/8h", 1, ttl=HOUR)
    await pass_time(timedelta(minutes=50))
    await store.count("acme/rate/8h", 1, ttl=HOUR)

    await pass_time(timedelta(minutes=10))

    assert await store.count("acme/rate/8h", 0) == 0
    assert await store.count("acme/rate/8h", 1, ttl=HOUR) == 1


async def test_a_deleted_counter_starts_again(store):
    await store.count("acme/slots", 4)
    await store.delete("acme/slots")

    assert await store.count("acme/slots", 1) == 1


async def test_a_counter_and_a_value_of_one_key_do_not_meet(store):
    await store.count("acme/x", 2)
    await store.compare_and_set("acme/x", None, b"value")

    assert await store.count("acme/x", 0) == 2
    assert (await store.get("acme/x")).value == b"value"
