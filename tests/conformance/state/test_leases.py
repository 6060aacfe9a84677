from __future__ import annotations

import asyncio
from datetime import timedelta

MINUTE = timedelta(minutes=1)


async def test_a_free_lease_is_taken(store):
    lease = await store.acquire("acme/run/1", "worker-a", MINUTE)

    assert lease is not None
    assert (lease.key, lease.owner) == ("acme/run/1", "worker-a")
    assert await store.holder("acme/run/1") == lease


async def test_a_held_lease_is_refused_to_another_owner(store):
    held = await store.acquire("acme/run/1", "worker-a", MINUTE)

    assert await store.acquire("acme/run/1", "worker-b", MINUTE) is None
    assert await store.holder("acme/run/1") == held


async def test_leases_of_two_keys_do_not_meet(store):
    first = await store.acquire("acme/run/1", "worker-a", MINUTE)
    second = await store.acquire("acme/run/2", "worker-b", MINUTE)

    assert first is not None
    assert second is not None


async def test_an_expired_lease_goes_to_the_next_owner_with_a_higher_fence(store, pass_time):
    first = await store.acquire("acme/run/1", "worker-a", MINUTE)
    await pass_time(MINUTE)

    second = await store.acquire("acme/run/1", "worker-b", MINUTE)

    assert second is not None
    assert second.fence > first.fence


async def test_the_same_owner_taking_it_again_fences_out_its_older_self(store):
    first = await store.acquire("acme/run/1", "worker-a", MINUTE)

    second = await store.acquire("acme/run/1", "worker-a", MINUTE)

    assert second.fence > first.fence
    assert await store.renew(first, MINUTE) is False
    assert await store.renew(second, MINUTE) is True


async def test_renewing_keeps_the_lease_past_its_first_end(store, pass_time):
    lease = await store.acquire("acme/run/1", "worker-a", MINUTE)
    await pass_time(timedelta(seconds=50))

    assert await store.renew(lease, MINUTE) is True

    await pass_time(timedelta(seconds=50))
    assert await store.holder("acme/run/1") == lease
    assert await store.acquire("acme/run/1", "worker-b", MINUTE) is None


async def test_renewing_a_lost_lease_says_so(store, pass_time):
    lost = await store.acquire("acme/run/1", "worker-a", MINUTE)
    await pass_time(MINUTE)
    taken = await store.acquire("acme/run/1", "worker-b", MINUTE)

    assert await store.renew(lost, MINUTE) is False
    assert await store.holder("acme/run/1") == taken


async def test_an_expired_lease_that_nobody_took_can_be_renewed(store, pass_time):
    lease = await store.acquire("acme/run/1", "worker-a", MINUTE)
    await pass_time(2 * MINUTE)
    assert await store.holder("acme/run/1") is None

    assert await store.renew(lease, MINUTE) is True
    assert await store.holder("acme/run/1") == lease


async def test_release_frees_the_lease_and_remembers_the_fence(store):
    first = await store.acquire("acme/run/1", "worker-a", MINUTE)
    await store.release(first)
    assert await store.holder("acme/run/1") is None
    assert await store.renew(first, MINUTE) is False

    second = await store.acquire("acme/run/1", "worker-b", MINUTE)

    assert second.fence > first.fence


async def test_releasing_a_lost_lease_leaves_the_new_owner_alone(store, pass_time):
    lost = await store.acquire("acme/run/1", "worker-a", MINUTE)
    await pass_time(MINUTE)
    taken = await store.acquire("acme/run/1", "worker-b", MINUTE)

    await store.release(lost)

    assert await store.holder("acme/run/1") == taken


async def test_nobody_holds_what_was_never_taken(store):
    assert await store.holder("acme/run/1") is None


async def test_of_many_who_ask_at_once_exactly_one_gets_it(store):
    leases = await asyncio.gather(*(store.acquire("acme/run/1", f"worker-{n}", MINUTE) for n in range(50)))

    assert sum(lease is not None for lease in leases) == 1


async def test_fences_only_grow(store, pass_time):
    fences = []
    for owner in ("a", "b", "a", "c", "c", "b"):
        lease = await store.acquire("acme/run/1", owner, MINUTE)
        fences.append(lease.fence)
        await pass_time(MINUTE)

    assert fences == sorted(set(fences))
