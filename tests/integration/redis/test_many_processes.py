"""Stores and queues that know nothing of one another, over one Redis: as many processes have them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import timedelta

from redis_server import LocalRedis

from convergence.queue import Message
from convergence.queue.redis import RedisQueue
from convergence.state.redis import RedisStateStore

MINUTE = timedelta(minutes=1)
SHORT = timedelta(milliseconds=100)


async def test_eight_claimers_never_get_the_same_message(local_redis: LocalRedis) -> None:
    queues = [RedisQueue(local_redis.url, prefix="many", visibility=MINUTE) for _ in range(8)]
    for run in range(200):
        await queues[run % 8].put(Message(f"org_{run % 5}", f"run_{run}"))

    async def claim_all(queue: RedisQueue) -> list[str]:
        claimed = []
        while (message := await queue.claim(wait=SHORT)) is not None:
            claimed.append(message.run_id)
        return claimed

    shares = await asyncio.gather(*(claim_all(queue) for queue in queues))
    for queue in queues:
        await queue.close()

    assert Counter(run for share in shares for run in share) == Counter(f"run_{run}" for run in range(200))


async def test_a_claimer_wakes_for_a_message_of_another_process(local_redis: LocalRedis) -> None:
    here = RedisQueue(local_redis.url, prefix="many", visibility=MINUTE)
    there = RedisQueue(local_redis.url, prefix="many", visibility=MINUTE)

    async def wake(round_: int) -> float:
        """How long three claimers needed for three messages."""
        claims = [asyncio.create_task(here.claim(wait=MINUTE)) for _ in range(3)]
        await asyncio.sleep(0.1)
        started = time.monotonic()
        for run in range(3):
            await there.put(Message("acme", f"run_{round_}_{run}"))
        messages = await asyncio.gather(*claims)
        assert {message.run_id for message in messages if message} == {f"run_{round_}_{run}" for run in range(3)}
        return time.monotonic() - started

    seconds = [await wake(round_) for round_ in range(5)]
    await here.close()
    await there.close()

    assert min(seconds) < 0.8  # a claimer that nobody wakes looks again after 0.9


async def test_an_idle_claimer_asks_about_once_a_second(local_redis: LocalRedis) -> None:
    queue = RedisQueue(local_redis.url, prefix="many", visibility=MINUTE)
    await queue.put(Message("acme", "run_1"), delay=MINUTE)
    before = local_redis.scripts()
    await queue.claim(wait=timedelta(seconds=2.5))
    asked = local_redis.scripts() - before
    await queue.close()

    assert 2 <= asked <= 5


async def test_60_counts_of_each_of_eight_processes_are_exact(local_redis: LocalRedis) -> None:
    stores = [RedisStateStore(local_redis.url, prefix="many") for _ in range(8)]

    totals = await asyncio.gather(*(store.count("acme/slots", 1) for store in stores for _ in range(60)))
    for store in stores:
        await store.close()

    assert sorted(total for total in totals if total) == list(range(1, 481))


async def test_deployments_with_prefixes_of_their_own_do_not_meet(local_redis: LocalRedis) -> None:
    ours, theirs = (
        RedisStateStore(local_redis.url, prefix=prefix) for prefix in ("convergence:dev", "convergence:prod")
    )
    await ours.compare_and_set("acme/run/1", None, b"ours")

    seen = await theirs.get("acme/run/1"), [entry async for entry in theirs.scan("")]
    lease = await ours.acquire("acme/lease", "a", MINUTE), await theirs.acquire("acme/lease", "b", MINUTE)
    await ours.close()
    await theirs.close()

    assert seen == (None, [])
    assert None not in lease


async def test_what_has_run_out_leaves_nothing_behind(local_redis: LocalRedis) -> None:
    store = RedisStateStore(local_redis.url, prefix="many")
    for number in range(30):
        await store.compare_and_set(f"acme/idempotency/{number}", None, b"x", ttl=MINUTE)
        await store.count(f"acme/rate/{number}", 1, ttl=MINUTE)
        await store.acquire(f"acme/lease/{number}", "a", MINUTE)
    local_redis.age("{many}:state:", timedelta(hours=2).total_seconds())
    for _ in range(6):  # each write sweeps a part
        await store.delete("acme/nothing")
    await store.close()

    assert local_redis.names() == ["{many}:state:sequence"]
