"""A worker that sleeps beyond its lease while another does its work wakes up and writes nothing."""

import asyncio
import random
from datetime import timedelta

from convergence.pipelines.models import RunStatus
from convergence.queue import Message

from .lab import SEED, days, executor_with, second_worker

WINDOW = days(3)
ROUNDS = 10
CALLS = ("ensure", "load", "query", "scopes", "execute")


class Frozen:
    """A warehouse whose caller falls asleep before one of its calls, as a stopped process would."""

    def __init__(self, warehouse, call):
        self._warehouse = warehouse
        self._left = call
        self.asleep = asyncio.Event()
        self.wake = asyncio.Event()

    def __getattr__(self, name):
        method = getattr(self._warehouse, name)
        if name not in CALLS:
            return method

        async def call(*arguments, **options):
            self._left -= 1
            if self._left == 0:
                self.asleep.set()
            if self._left <= 0:
                await self.wake.wait()
            return await method(*arguments, **options)

        return call


async def test_a_zombie_writes_nothing(lab):
    chance = random.Random(SEED)
    lab.stage(days=3, steady=True)
    async with lab.open(work=False) as bench:
        for number in range(ROUNDS):
            asleep_before = chance.randint(1, 40)
            changed = await _be_overtaken(bench, asleep_before, chance.random())
            assert changed == [], f"round {number}, asleep before call {asleep_before}"
            await bench.check_quiet()
        await bench.run_here(WINDOW)
        await bench.check_truth(WINDOW)


async def _be_overtaken(bench, asleep_before, share):
    """The tables and records that a worker changed after another had taken its run and finished it."""
    platform = bench.platform
    frozen = Frozen(platform.warehouse, asleep_before)
    zombie = second_worker(
        platform,
        "zombie",
        executor=executor_with(platform, warehouse=frozen),
        lease=timedelta(milliseconds=1),
        heartbeat=timedelta(hours=1),
    )
    run = await bench.accept(WINDOW)
    sleeping = asyncio.create_task(zombie.work(Message("acme", run.run_id)))
    await frozen.asleep.wait()
    bench.lab.simulator.simulator.revise("restate", WINDOW.days(), share=share)
    await platform.worker.work(Message("acme", run.run_id, 1))
    finished, before = await bench.find(run), await bench.content()
    assert finished.status is RunStatus.COMPLETED
    frozen.wake.set()
    await sleeping
    after = await bench.content()
    changed = [table for table in after if after[table] != before.get(table)]
    return changed + [run.run_id] * (await bench.find(run) != finished)
