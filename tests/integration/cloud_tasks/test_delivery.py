"""From an accepted run to its end, by requests that Cloud Tasks sends."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from google_fakes.tasks import Limits

from convergence.pipelines.models import RunStatus

ONE = "step_id: extract_a, ps_type: trial.note"


async def test_a_run_is_delivered_and_completes(builder) -> None:
    builder.write_pipeline(ONE)
    async with builder.open() as site:
        run = await site.finish(await site.accept())
        statuses = await site.settle()

    assert run.status is RunStatus.COMPLETED
    assert statuses == [204]
    assert site.lines() == ["begin extract_a", "end extract_a"]


async def test_a_run_that_is_delivered_twice_at_once_is_executed_once(builder) -> None:
    builder.write_pipeline(f"{ONE}, seconds: 0.3")
    async with builder.open(copies=2) as site:
        run = await site.finish(await site.accept())
        statuses = await site.settle()

    assert run.status is RunStatus.COMPLETED
    assert set(statuses) == {204}
    assert len(statuses) >= 2
    assert site.lines() == ["begin extract_a", "end extract_a"]


async def test_what_finds_no_room_is_delivered_again(builder) -> None:
    builder.write_pipeline(f"{ONE}, seconds: 0.5")
    builder.write_pipeline(f"{ONE}, seconds: 0.5", name="more")
    async with builder.open(RATE_LIMIT_PIPELINE_CONCURRENCY="1") as site:
        runs = [await site.accept(), await site.accept("more")]
        ended = [await site.finish(run) for run in runs]
        statuses = await site.settle()

    assert [run.status for run in ended] == [RunStatus.COMPLETED] * 2
    assert set(statuses) == {503, 204}
    assert statuses.count(204) == 2


async def test_two_runs_of_one_pipeline_take_turns(builder) -> None:
    builder.write_pipeline(f"{ONE}, seconds: 0.3")
    async with builder.open() as site:
        runs = [await site.accept() for _ in range(2)]
        ended = [await site.finish(run) for run in runs]
        statuses = await site.settle()

    assert [run.status for run in ended] == [RunStatus.COMPLETED] * 2
    assert site.lines() == ["begin extract_a", "end extract_a"] * 2
    assert set(statuses) == {204}


async def test_a_passing_fault_is_tried_again_as_a_task_of_its_own(builder) -> None:
    builder.write_pipeline("step_id: extract_a, ps_type: trial.fail, kind: transient, times: 2")
    async with builder.open() as site:
        run = await site.finish(await site.accept())
        statuses = await site.settle()

    assert run.status is RunStatus.COMPLETED
    assert statuses == [204, 204, 204]
    assert len({task.name for task in site.tasks.created}) == 3


async def test_a_run_that_fails_for_good_is_not_delivered_again(builder) -> None:
    builder.write_pipeline("step_id: extract_a, ps_type: trial.fail, kind: terminal")
    async with builder.open() as site:
        run = await site.finish(await site.accept())
        statuses = await site.settle()

    assert (run.status, statuses) == (RunStatus.FAILED, [204])


async def test_a_run_cancelled_before_its_delivery_needs_nothing(builder) -> None:
    builder.write_pipeline(ONE)
    async with builder.open() as site:
        site.tasks.is_paused.set()
        run = await site.accept()
        await site.platform.pipelines.cancel(site.platform.scope.org("acme"), run.run_id)
        site.tasks.is_paused.clear()
        statuses = await site.settle()

    assert (statuses, site.lines()) == ([204], [])


async def test_a_run_longer_than_a_delivery_goes_on_in_the_next(builder) -> None:
    builder.write_pipeline(
        f"{ONE}, seconds: 1",
        "step_id: extract_b, ps_type: trial.note, seconds: 1.5, depends_on: [extract_a]",
    )
    async with builder.open(Limits(min_deadline=1), deadline=timedelta(seconds=2.4)) as site:
        run = await site.finish(await site.accept())
        await site.settle()

    lines = site.lines()
    assert run.status is RunStatus.COMPLETED
    assert (lines.count("end extract_a"), lines.count("end extract_b")) == (1, 1)
    assert lines.count("begin extract_b") > 1
    assert len(site.tasks.created) > 1


async def test_a_step_that_no_delivery_can_finish_ends_the_run(builder) -> None:
    builder.write_pipeline(f"{ONE}, seconds: 30", head="retry_attempts: 1\n")
    async with builder.open(Limits(min_deadline=1), deadline=timedelta(seconds=1)) as site:
        run = await site.finish(await site.accept())
        await site.settle()

    assert (run.status, run.error_code) == (RunStatus.FAILED, "delivery_timeout")
    assert "extract_a" in run.error_message
    assert site.lines() == ["begin extract_a"] * 2


async def test_at_the_end_of_the_process_a_run_is_handed_back_at_once(builder) -> None:
    builder.write_pipeline(f"{ONE}, seconds: 30")
    async with builder.open() as site:
        run = await site.accept()
        async with asyncio.timeout(120):
            while not site.lines():
                await asyncio.sleep(0.01)
    builder.write_pipeline(ONE)
    async with builder.open() as later:
        announced = await later.platform.worker.sweep()
        ended = await later.finish(run)

    assert site.tasks.statuses()[0] == 204  # those after it found nobody
    assert len(site.tasks.created) == 2
    assert announced <= 1  # the sweeper of the process may have been first
    assert (ended.status, ended.attempt) == (RunStatus.COMPLETED, 0)


async def test_a_lost_task_is_announced_again_by_the_sweep_of_a_later_period(builder, clock) -> None:
    builder.write_pipeline(ONE)
    async with builder.open(clock=clock) as site:
        site.tasks.is_paused.set()
        run = await site.accept()
        site.tasks.purge()
        site.tasks.is_paused.clear()
        clock.advance(timedelta(minutes=5))
        answer = await site.post("sweep", site.sign())
        ended = await site.finish(run)

    assert (answer.status_code, answer.json()) == (200, {"announced": 1})
    assert ended.status is RunStatus.COMPLETED


async def test_a_delivery_of_what_is_not_there_needs_nothing(builder) -> None:
    async with builder.open() as site:
        answers = [
            await site.post("run", site.sign(), json={"org_slug": org, "run_id": "run_0", "attempt": 3})
            for org in ("acme", "nobody")
        ]

    assert [answer.status_code for answer in answers] == [204, 204]


async def test_a_run_is_accepted_while_the_queue_is_away(builder) -> None:
    import grpc

    builder.write_pipeline(ONE)
    async with builder.open() as site:
        site.tasks.refuse_next(grpc.StatusCode.PERMISSION_DENIED)
        run = await site.accept()
        await site.platform.worker.sweep()
        ended = await site.finish(run)

    assert ended.status is RunStatus.COMPLETED


async def test_a_tick_starts_what_is_due(builder) -> None:
    async with builder.open() as site:
        answer = await site.post("tick", site.sign(), json={})

    assert (answer.status_code, answer.json()) == (200, {"due": 0, "enqueued": 0, "deferred": 0})
