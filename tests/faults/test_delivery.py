"""Messages lost, doubled, shuffled and late, with two workers: every day is published once for what it holds."""

import asyncio
import random
from collections import Counter
from datetime import timedelta

from convergence.pipelines.models import RunStatus
from convergence.queue import Message

from .lab import ORGS, SEED, days, second_worker

WINDOW = days(12)
STREAMS = ("openai.usage", "openai.reported_cost", "openai.cost", "focus.openai", "openai.conservation")


async def test_doubled_and_lost_messages_publish_every_day_once(lab):
    lab.stage(days=12)
    chance = random.Random(SEED)
    async with lab.open(work=False) as bench:
        platform = bench.platform
        runs = [run for org in ORGS for run in await bench.backfill(WINDOW, 3, org=org)]
        await _drop_messages(platform.queue)
        workers = [platform.worker, second_worker(platform, "second")]
        await asyncio.gather(*(_deliver(chance, workers, messages) for messages in _deliveries(chance, runs)))
        await _work_until_done(bench, workers, runs)
        after_the_end = [Message(run.org_slug, run.run_id, 9) for run in chance.sample(runs, 4)]
        await asyncio.gather(*(worker.work(message) for worker in workers for message in after_the_end))
        statuses = {run.run_id: run.status for run in [await bench.find(run) for run in runs]}
        published = [await bench.published(org=org) for org in ORGS]
        for org in ORGS:
            await bench.check_truth(WINDOW, org=org)
    assert set(statuses.values()) == {RunStatus.COMPLETED}
    assert [set(counts.values()) for counts in published] == [{1}, {1}]
    for counts in published:
        days_of = Counter(stream for stream, _ in {(stream, day) for stream, day, _ in counts})
        assert days_of == dict.fromkeys(STREAMS, len(WINDOW))


async def _drop_messages(queue):
    while (message := await queue.claim(wait=timedelta())) is not None:
        await queue.done(message)


def _deliveries(chance, runs):
    """Three of four messages, one to five times each, in any order, in four streams."""
    kept = [run for run in runs if chance.random() < 0.75]
    messages = [Message(run.org_slug, run.run_id, n) for run in kept for n in range(chance.randint(1, 5))]
    chance.shuffle(messages)
    return [messages[start::4] for start in range(4)]


async def _deliver(chance, workers, messages):
    for message in messages:
        await chance.choice(workers).work(message)


async def _work_until_done(bench, workers, runs):
    """Both workers, fed by nothing but their sweepers, as after a restart of the queue."""
    await _drop_messages(bench.platform.queue)
    working = [asyncio.create_task(worker.run()) for worker in workers]
    await bench.finish_all(runs)
    for worker in workers:
        await worker.stop()
    await asyncio.gather(*working)
