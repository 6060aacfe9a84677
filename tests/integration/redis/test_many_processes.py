"""Stores and queues that know nothing of one another, over one Redis: as many processes have them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from redis_server import LocalRedis

from convergence.queue import Message
from convergence.queue.redis import RedisQueue
from convergence.state.redis import RedisStateStore

MINUTE = timedelta(minutes=1)
SHORT = timedelta(milliseconds=100)


class Processes:
    """What processes open of their own; all of it is closed behind the test, however it ends."""

    def __init__(self, url: str, closing: AsyncExitStack) -> None:
        self._url = url
        self._closing = closing

    def open_store(self, prefix: str = "many") -> RedisStateStore:
        store = RedisStateStore(self._url, prefix=prefix)
        self._closing.push_async_callback(store.close)
        return store

    def open_queue(self) -> RedisQueue:
        queue = RedisQueue(self._url, prefix="many", visibility=MINUTE)
        self._closing.push_async_callback(queue.close)
        return queue


@pytest.fixture
async def processes(local_redis: LocalRedis) -> AsyncIterator[Processes]:
    async with AsyncExitStack() as closing:
        yield Processes(local_redis.url, closing)


async def test_eight_claimers_never_get_the_same_message(processes: Processes) -> None:
    queues = [processes.open_queue() for _ in range(8)]
    for run in range(200):
        await queues[run % 8].put(Message(f"org_{run % 5}", f"run_{run}"))

    async def claim_all(queue: RedisQueue) -> list[str]:
        claimed = []
        while (message := await queue.claim(wait=SHORT)) is not None:
            claimed.append(message.run_id)
        return claimed

    shares = await asyncio.gather(*(claim_all(queue) for queue in queues))

    assert Counter(run for share in shares for run in share) == Counter(f"run_{run}" for run in range(200))


async def test_a_claimer_wakes_for_a_message_of_another_process(processes: Processes) -> None:
    here, there = processes.open_queue(), processes.open_queue()

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

    assert min(seconds) < 0.8  # a claimer that nobody wakes looks again after 0.9


async def test_an_idle_claimer_asks_about_once_a_second(processes: Processes, local_redis: LocalRedis) -> None:
    queue = processes.open_queue()
    await queue.put(Message("acme", "run_1"), delay=MINUTE)
    before = local_redis.scripts()
    await queue.claim(wait=timedelta(seconds=2.5))
    asked = local_redis.scripts() - before

    assert 2 <= asked <= 5


async def test_60_counts_of_each_of_eight_processes_are_exact(processes: Processes) -> None:
    async def count(store: RedisStateStore) -> list[int | None]:
        return [await store.count("acme/slots", 1) for _ in range(60)]

    totals = await asyncio.gather(*(count(processes.open_store()) for _ in range(8)))

    assert sorted(total for own in totals for total in own if total) == list(range(1, 481))


async def test_deployments_with_prefixes_of_their_own_do_not_meet(processes: Processes) -> None:
    ours, theirs = processes.open_store("convergence:dev"), processes.open_store("convergence:prod")
    await ours.compare_and_set("acme/run/1", None, b"ours")

    seen = await theirs.get("acme/run/1"), [entry async for entry in theirs.scan("")]
    lease = await ours.acquire("acme/lease", "a", MINUTE), await theirs.acquire("acme/lease", "b", MINUTE)

    assert seen == (None, [])
    assert None not in lease


async def test_what_has_run_out_leaves_nothing_behind(processes: Processes, local_redis: LocalRedis) -> None:
    store = processes.open_store()
    for number in range(30):
        await store.compare_and_set(f"acme/idempotency/{number}", None, b"x", ttl=MINUTE)
        await store.count(f"acme/rate/{number}", 1, ttl=MINUTE)
        await store.acquire(f"acme/lease/{number}", "a", MINUTE)
    local_redis.age("{many}:state:", timedelta(hours=2).total_seconds())
    for _ in range(6):  # each write sweeps a part
        await store.delete("acme/nothing")

    assert local_redis.names() == ["{many}:state:sequence"]
