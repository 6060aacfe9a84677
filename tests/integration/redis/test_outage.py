"""A Redis that dies by SIGKILL and comes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from redis_server import LocalRedis

from convergence.errors import ConfigError, StoreUnavailable
from convergence.queue import Message
from convergence.queue.redis import RedisQueue
from convergence.state.redis import RedisStateStore

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def store(local_redis: LocalRedis) -> AsyncIterator[RedisStateStore]:
    opened = RedisStateStore(local_redis.url, prefix="outage")
    yield opened
    await opened.close()


@pytest.fixture
async def queue(local_redis: LocalRedis) -> AsyncIterator[RedisQueue]:
    opened = RedisQueue(local_redis.url, prefix="outage", visibility=MINUTE)
    yield opened
    await opened.close()


async def test_an_open_store_finds_everything_again(local_redis: LocalRedis, store: RedisStateStore) -> None:
    lease = await store.acquire("acme/run/1", "worker-a", MINUTE)
    version = await store.compare_and_set("acme/run/1", None, b"running")
    await store.count("acme/slots", 7)
    await local_redis.restart()

    entry = await store.get("acme/run/1")

    assert entry is not None
    assert (entry.value, entry.version) == (b"running", version)
    assert await store.holder("acme/run/1") == lease
    assert await store.count("acme/slots", 0) == 7


async def test_messages_outlast_the_server(local_redis: LocalRedis, queue: RedisQueue) -> None:
    await queue.put(Message("acme", "run_1"))
    await queue.put(Message("acme", "run_2"), delay=timedelta(milliseconds=50))
    await local_redis.restart()

    messages = [await queue.claim(wait=MINUTE) for _ in range(2)]

    assert [message.run_id for message in messages if message] == ["run_1", "run_2"]


async def test_a_server_that_is_away_is_named_without_its_password(local_redis: LocalRedis) -> None:
    address = local_redis.url.replace("redis://", "redis://:canary-password@")
    store = RedisStateStore(address, prefix="outage")
    local_redis.kill()

    with pytest.raises(StoreUnavailable) as refusal:
        await store.count("acme/slots", 1)
    await store.close()

    assert refusal.value.message == f"the state store at {local_redis.place} cannot be reached"
    assert refusal.value.hint == "Start it, or correct REDIS_URL."
    assert "canary" not in f"{refusal.value!r}{refusal.value.__cause__!r}{store!r}"


async def test_a_server_that_hangs_is_given_up(local_redis: LocalRedis, store: RedisStateStore) -> None:
    await store.ping()
    with local_redis.hanging(), pytest.raises(StoreUnavailable, match="does not answer within 4 s"):
        async with asyncio.timeout(20):
            await store.get("acme/run/1")

    assert await store.get("acme/run/1") is None


async def test_a_full_server_refuses_and_keeps_what_it_has(local_redis: LocalRedis, store: RedisStateStore) -> None:
    lease = await store.acquire("acme/run/1", "worker-a", MINUTE)
    with local_redis.configured(**{"maxmemory": "1", "maxmemory-policy": "volatile-lru"}):
        with pytest.raises(StoreUnavailable, match="is full") as refusal:
            await store.compare_and_set("acme/run/2", None, b"x" * 1000)
        kept = await store.holder("acme/run/1")

    assert refusal.value.hint == "Raise its maxmemory; nothing was written."
    assert kept == lease
    assert await store.get("acme/run/2") is None


async def test_a_server_that_would_evict_leases_is_not_ready(local_redis: LocalRedis, store: RedisStateStore) -> None:
    with (
        local_redis.configured(**{"maxmemory-policy": "allkeys-lru"}),
        pytest.raises(StoreUnavailable, match="evicts any key") as refusal,
    ):
        await store.ping()

    assert refusal.value.hint == "Set its maxmemory-policy to noeviction."
    assert await store.ping() is None


async def test_a_replica_is_told_from_its_primary(local_redis: LocalRedis, store: RedisStateStore) -> None:
    with local_redis.as_replica(), pytest.raises(StoreUnavailable, match="takes no writes") as refusal:
        await store.count("acme/slots", 1)

    assert refusal.value.hint == "It is a replica: let REDIS_URL name the primary."


async def test_a_wrong_password_is_told_from_an_outage(local_redis: LocalRedis) -> None:
    address = local_redis.url.replace("redis://", "redis://:canary-password@")
    store = RedisStateStore(address, prefix="outage")
    with local_redis.configured(requirepass="another"), pytest.raises(StoreUnavailable) as refusal:
        await store.get("acme/run/1")
    await store.close()

    assert refusal.value.message == f"the state store at {local_redis.place} refuses the user or the password"
    assert "canary" not in f"{refusal.value!r}{refusal.value.__cause__!r}"


async def test_a_waiting_claim_hears_of_the_end(local_redis: LocalRedis, queue: RedisQueue) -> None:
    claim = asyncio.create_task(queue.claim(wait=MINUTE))
    await asyncio.sleep(0.2)
    local_redis.kill()

    with pytest.raises(StoreUnavailable, match=r"the queue at .* cannot be reached"):
        await asyncio.wait_for(claim, 20)


async def test_fences_grow_although_the_server_lost_everything(local_redis: LocalRedis, store: RedisStateStore) -> None:
    before = await store.acquire("acme/run/1", "worker-a", MINUTE)
    local_redis.flush()

    after = await store.acquire("acme/run/1", "worker-b", MINUTE)

    assert before is not None
    assert after is not None
    assert after.fence > before.fence


async def test_a_cancelled_call_leaves_no_answer_for_the_next(local_redis: LocalRedis, store: RedisStateStore) -> None:
    await asyncio.gather(*(store.compare_and_set(f"acme/run/{n}", None, str(n).encode()) for n in range(20)))
    for round_ in range(50):
        calls = [asyncio.create_task(store.get(f"acme/run/{n}")) for n in range(20)]
        await asyncio.sleep(round_ / 20_000)
        for call in calls:
            call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*calls)

    entries = await asyncio.gather(*(store.get(f"acme/run/{n}") for n in range(20)))

    assert [entry.value for entry in entries if entry] == [str(n).encode() for n in range(20)]


@pytest.mark.parametrize("address", ["http://127.0.0.1:6379", "redis://:canary@[half", "redis://:canary@host:x/0"])
async def test_no_address_of_a_redis_is_a_fault_of_the_setting(address: str) -> None:
    with pytest.raises(ConfigError, match="REDIS_URL: is no address of a Redis") as refusal:
        RedisStateStore(address, prefix="outage")

    assert "canary" not in str(refusal.value)
