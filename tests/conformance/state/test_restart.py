from __future__ import annotations

from datetime import timedelta

MINUTE = timedelta(minutes=1)


async def test_values_and_counters_are_there_after_a_restart(reopen):
    store = await reopen()
    version = await store.compare_and_set("acme/run/1", None, b"\x00running")
    await store.count("acme/slots", 7)
    await store.compare_and_set("acme/run/2", None, b"gone")
    await store.delete("acme/run/2")

    store = await reopen()

    entry = await store.get("acme/run/1")
    assert (entry.value, entry.version) == (b"\x00running", version)
    assert await store.count("acme/slots", 0) == 7
    assert [entry.key async for entry in store.scan("")] == ["acme/run/1"]


async def test_expiry_is_kept_over_a_restart(reopen, pass_time):
    store = await reopen()
    await store.compare_and_set("acme/idempotency/k", None, b"x", ttl=MINUTE)
    await store.count("acme/rate", 5, ttl=MINUTE)

    store = await reopen()
    assert await store.get("acme/idempotency/k") is not None
    await pass_time(MINUTE)

    assert await store.get("acme/idempotency/k") is None
    assert await store.count("acme/rate", 0) == 0


async def test_fences_and_versions_grow_over_restarts(reopen):
    fences, versions = [], []
    for _ in range(4):
        store = await reopen()
        fences.append((await store.acquire("acme/run/1", "worker", MINUTE)).fence)
        versions.append(await store.compare_and_set("acme/run/1", None, b"x"))
        await store.delete("acme/run/1")

    assert fences == sorted(set(fences))
    assert versions == sorted(set(versions))
