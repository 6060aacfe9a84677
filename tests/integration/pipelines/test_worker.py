"""What a crash, a lost message or a paused worker leaves behind is found and finished once."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from datetime import timedelta
from pathlib import Path

import pytest

from convergence.errors import LeaseLost
from convergence.pipelines.models import RunStatus
from convergence.pipelines.worker import next_fence
from convergence.queue import Message

ONE = "  - {step_id: extract_a, ps_type: trial.note}\n"


async def test_a_lost_message_is_found_by_the_sweeper(bench):
    bench.write_pipeline(ONE)
    async with bench.open(work=False) as platform:
        run = await bench.accept(platform)
        while (message := await platform.queue.claim(wait=timedelta())) is not None:
            await platform.queue.done(message)  # lost
        assert await platform.worker.sweep() == 1
        platform.start_work()
        run = await bench.finish(platform, run)
    assert run.status is RunStatus.COMPLETED


async def test_a_message_delivered_five_times_runs_once(bench):
    bench.write_pipeline("  - {step_id: extract_a, ps_type: trial.note, seconds: 0.2}\n")
    async with bench.open(work=False) as platform:
        run = await bench.accept(platform)
        await asyncio.gather(*(platform.worker.work(Message("acme", run.run_id, number)) for number in range(5)))
        run = await bench.finish(platform, run)
        await platform.worker.work(Message("acme", run.run_id, 9))
    assert bench.lines() == ["begin extract_a", "end extract_a"]


async def test_a_message_of_another_organization_finds_nothing(bench):
    bench.write_pipeline(ONE)
    async with bench.open(work=False) as platform:
        run = await bench.accept(platform)
        await platform.worker.work(Message("globex", run.run_id))
        assert (await platform.pipelines.get(platform.scope.org("acme"), run.run_id)).status is RunStatus.PENDING


async def test_a_zombie_cannot_write_to_the_run_it_lost(bench):
    bench.write_pipeline(ONE)
    async with bench.open(work=False) as platform:
        run = await bench.accept(platform)
        old = await platform.runs.update("acme", run.run_id, lambda record: setattr(record, "fence", 1))
        await platform.runs.update("acme", run.run_id, lambda record: setattr(record, "fence", 2))
        with pytest.raises(LeaseLost):
            await platform.runs.update(
                "acme", run.run_id, lambda record: setattr(record, "attempt", 9), fence=old.fence
            )
        assert (await platform.pipelines.get(platform.scope.org("acme"), run.run_id)).attempt == 0


async def test_fences_grow_also_when_many_ask_and_when_the_store_is_lost(bench):
    async with bench.open(work=False) as platform:
        fences = await asyncio.gather(*(next_fence(platform.state, "acme", platform.clock) for _ in range(20)))
        await platform.state.delete("acme/fence")
        later = await next_fence(platform.state, "acme", platform.clock)
    assert len(set(fences)) == 20
    assert min(fences) >= int(platform.clock.now().timestamp() * 1000) - 60_000
    assert later > min(fences)


async def test_a_run_whose_pipeline_is_gone_fails_and_says_so(bench):
    bench.write_pipeline(ONE)
    async with bench.open(work=False) as platform:
        run = await bench.accept(platform)
        (bench.folder / "configs" / "trial" / "work.yml").unlink()
        platform.start_work()
        run = await bench.finish(platform, run)
    assert run.status is RunStatus.FAILED
    assert "trial-work" in run.error_message


CHILD = """
    import asyncio, sys
    from pathlib import Path
    sys.path[:0] = [{support!r}, {here!r}]
    from conftest import Bench

    class Again(Bench):
        def __init__(self, folder):
            self.folder, self.journal = folder, folder / "journal.txt"

    async def main():
        bench = Again(Path({folder!r}))
        async with bench.open(onboard=False) as platform:
            print((await bench.accept(platform)).run_id, flush=True)
            await asyncio.sleep(60)

    asyncio.run(main())
"""


async def test_after_kill_9_the_next_start_finishes_the_run_and_restores_its_record(bench):
    bench.write_pipeline("""
  - {step_id: extract_a, ps_type: trial.note}
  - {step_id: extract_b, ps_type: trial.note, seconds: 1.0, depends_on: [extract_a]}
""")
    async with bench.open(work=False):
        pass
    here = Path(__file__).parent
    support = here.parents[1] / "support"
    code = textwrap.dedent(CHILD).format(support=str(support), here=str(here), folder=str(bench.folder))
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    run_id = child.stdout.readline().strip()
    async with asyncio.timeout(120):
        while "begin extract_b" not in bench.lines():
            await asyncio.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    async with bench.open(onboard=False) as platform:
        org = platform.scope.org("acme")
        async with asyncio.timeout(120):
            while not (run := await platform.pipelines.get(org, run_id)).status.is_final:
                await asyncio.sleep(0.02)
        listed, _ = await platform.pipelines.page(org)
    assert run.status is RunStatus.COMPLETED
    assert bench.lines() == ["begin extract_a", "end extract_a", "begin extract_b", "begin extract_b", "end extract_b"]
    assert [(record.run_id, record.status) for record in listed] == [(run_id, RunStatus.COMPLETED)]


async def test_old_raw_pages_are_swept_while_runs_are_executed(bench):
    old = bench.folder / "data" / "archive" / "acme" / "openai" / "usage" / "all" / "load_1"
    old.mkdir(parents=True)
    (old / "00001.json.zst").write_bytes(b"old")
    for path in (old / "00001.json.zst", old):
        os.utime(path, (0, 0))
    async with bench.open(), asyncio.timeout(120):
        while old.exists():
            await asyncio.sleep(0.02)
