from __future__ import annotations

import asyncio
from datetime import timedelta

MINUTE = timedelta(minutes=1)


async def test_an_absent_value_is_none(store):
    assert await store.get("acme/run/1") is None


async def test_a_value_comes_back_as_it_was_written(store):
    value = bytes(range(256)) * 40

    version = await store.compare_and_set("acme/run/1", None, value)
    entry = await store.get("acme/run/1")

    assert (entry.key, entry.value, entry.version) == ("acme/run/1", value, version)


async def test_an_empty_value_is_a_value(store):
    await store.compare_and_set("acme/open/1", None, b"")

    entry = await store.get("acme/open/1")

    assert entry is not None
    assert entry.value == b""


async def test_creating_what_exists_is_refused(store):
    await store.compare_and_set("acme/run/1", None, b"first")

    assert await store.compare_and_set("acme/run/1", None, b"second") is None
    assert (await store.get("acme/run/1")).value == b"first"


async def test_a_stale_version_is_refused(store):
    first = await store.compare_and_set("acme/run/1", None, b"1")
    second = await store.compare_and_set("acme/run/1", first, b"2")

    assert await store.compare_and_set("acme/run/1", first, b"3") is None
    assert second > first
    assert (await store.get("acme/run/1")).value == b"2"


async def test_changing_what_is_not_there_is_refused(store):
    assert await store.compare_and_set("acme/run/1", 1, b"1") is None
    assert await store.get("acme/run/1") is None


async def test_of_many_writers_of_one_version_exactly_one_wins(store):
    start = await store.compare_and_set("acme/run/1", None, b"start")

    versions = await asyncio.gather(*(store.compare_and_set("acme/run/1", start, str(n).encode()) for n in range(100)))

    winners = [n for n, version in enumerate(versions) if version is not None]
    assert len(winners) == 1
    assert (await store.get("acme/run/1")).value == str(winners[0]).encode()


async def test_of_many_who_claim_an_idempotency_key_exactly_one_wins(store):
    claims = await asyncio.gather(
        *(store.compare_and_set("acme/idempotency/k", None, str(n).encode(), ttl=MINUTE) for n in range(100))
    )

    assert sum(claim is not None for claim in claims) == 1


async def test_racing_increments_lose_none(store):
    await store.compare_and_set("acme/sum", None, b"0")

    async def add_one() -> None:
        while True:
            entry = await store.get("acme/sum")
            after = str(int(entry.value) + 1).encode()
            if await store.compare_and_set("acme/sum", entry.version, after) is not None:
                return

    await asyncio.gather(*(add_one() for _ in range(40)))

    assert (await store.get("acme/sum")).value == b"40"


async def test_a_value_expires(store, pass_time):
    version = await store.compare_and_set("acme/idempotency/k", None, b"x", ttl=MINUTE)
    await pass_time(timedelta(seconds=59))
    assert await store.get("acme/idempotency/k") is not None

    await pass_time(timedelta(seconds=1))

    assert await store.get("acme/idempotency/k") is None
    assert await store.compare_and_set("acme/idempotency/k", version, b"y") is None
    assert await store.compare_and_set("acme/idempotency/k", None, b"y") is not None


async def test_a_write_without_ttl_lifts_the_expiry(store, pass_time):
    version = await store.compare_and_set("acme/run/1", None, b"x", ttl=MINUTE)
    await store.compare_and_set("acme/run/1", version, b"y")

    await pass_time(10 * MINUTE)
    await store.compare_and_set("acme/run/2", None, b"z")  # a write may sweep what has run out

    assert (await store.get("acme/run/1")).value == b"y"


async def test_a_deleted_value_is_gone_and_its_version_never_returns(store):
    old = await store.compare_and_set("acme/run/1", None, b"x")
    await store.delete("acme/run/1")
    assert await store.get("acme/run/1") is None

    new = await store.compare_and_set("acme/run/1", None, b"y")

    assert new > old
    assert await store.compare_and_set("acme/run/1", old, b"z") is None


async def test_deleting_what_is_not_there_does_nothing(store):
    await store.delete("acme/run/1")

    assert await store.get("acme/run/1") is None


async def test_scan_gives_the_prefix_in_order_of_key(store):
    for key in ("acme/run/3", "acme/run/1", "acme/open/9", "acme_2/run/1", "acme/run/2", "acme/run/10"):
        await store.compare_and_set(key, None, key.encode())

    found = [entry async for entry in store.scan("acme/run/")]

    assert [entry.key for entry in found] == ["acme/run/1", "acme/run/10", "acme/run/2", "acme/run/3"]
    assert all(entry.value == entry.key.encode() for entry in found)


async def test_scan_leaves_out_what_expired_and_what_was_deleted(store, pass_time):
    await store.compare_and_set("acme/run/1", None, b"1", ttl=MINUTE)
    await store.compare_and_set("acme/run/2", None, b"2")
    await store.compare_and_set("acme/run/3", None, b"3")
    await store.delete("acme/run/3")
    await pass_time(MINUTE)

    assert [entry.key async for entry in store.scan("acme/")] == ["acme/run/2"]


async def test_scan_survives_changes_while_it_runs(store):
    for n in range(20):
        await store.compare_and_set(f"acme/run/{n:02}", None, b"x")

    seen = []
    async for entry in store.scan("acme/run/"):
        seen.append(entry.key)
        await store.delete(f"acme/run/{len(seen) * 2 - 1:02}")

    assert seen == sorted(set(seen))
    assert {f"acme/run/{n:02}" for n in range(0, 20, 2)} <= set(seen)


async def test_scan_reads_more_than_one_page(store):
    keys = [f"acme/run/{n:04}" for n in range(220)]
    await asyncio.gather(*(store.compare_and_set(key, None, b"x") for key in keys))

    assert [entry.key async for entry in store.scan("acme/run/")] == keys


async def test_scan_of_nothing_is_empty(store):
    assert [entry async for entry in store.scan("nobody/")] == []
