"""A run is accepted once, durably, and only if everything cheap to check holds."""

import asyncio
from datetime import date, timedelta

import pytest

from convergence.errors import ConfigError, Conflict, Denied, InvalidRequest, NotFound, QuotaExceeded
from convergence.kit.window import DAY, Window
from convergence.organizations.models import OnboardingRequest
from convergence.pipelines.models import RunStatus, TriggerType
from convergence.pipelines.service import RunRequest

ONE = "  - {step_id: extract_a, ps_type: trial.note}\n"


async def test_the_same_key_and_body_is_the_same_run_fifty_times_at_once(bench):
    bench.write_pipeline(ONE)
    async with bench.open(work=False) as platform:
        runs = await asyncio.gather(*(bench.accept(platform, idempotency_key="k1") for _ in range(50)))
        assert len({run.run_id for run in runs}) == 1
        assert len((await platform.quotas.usage("acme")).day_runs) == 1


async def test_the_same_key_and_another_body_is_a_conflict(bench):
    bench.write_pipeline(ONE)
    async with bench.open(work=False) as platform:
        await bench.accept(platform, idempotency_key="k1")
        with pytest.raises(Conflict) as refused:
            await bench.accept(platform, idempotency_key="k1", window=Window.day(date(2026, 1, 1)))
    assert refused.value.code == "idempotency_mismatch"


async def test_the_key_survives_a_restart(bench):
    bench.write_pipeline(ONE)
    async with bench.open() as platform:
        first = await bench.finish(platform, await bench.accept(platform, idempotency_key="k1"))
    async with bench.open(onboard=False) as platform:
        again = await bench.accept(platform, idempotency_key="k1")
    assert again.run_id == first.run_id


async def test_a_refused_run_frees_its_key_and_does_not_count(bench):
    bench.write_pipeline(ONE)
    async with bench.open(work=False, plan="STARTER") as platform:
        first = await bench.accept(platform)
        with pytest.raises(QuotaExceeded) as refused:
            await bench.accept(platform, idempotency_key="k1")
        assert refused.value.code == "quota_concurrency"
        await platform.pipelines.cancel(platform.scope.org("acme"), first.run_id)
        assert (await bench.accept(platform, idempotency_key="k1")).status is RunStatus.PENDING
        assert len((await platform.quotas.usage("acme")).day_runs) == 2


async def test_one_organization_may_use_the_key_of_another(bench):
    bench.write_pipeline(ONE)
    async with bench.open(work=False) as platform:
        await platform.organizations.onboard(OnboardingRequest("globex", "Globex", "b@example.com", "SCALE"))
        pipeline = platform.pipelines.find("trial-work")
        runs = [
            await platform.pipelines.run(platform.scope.org(org), RunRequest(pipeline, idempotency_key="k1"))
            for org in ("acme", "globex")
        ]
    assert runs[0].run_id != runs[1].run_id


async def test_a_run_of_another_organization_is_not_found(bench):
    bench.write_pipeline(ONE)
    async with bench.open(work=False) as platform:
        await platform.organizations.onboard(OnboardingRequest("globex", "Globex", "b@example.com", "SCALE"))
        run = await bench.accept(platform)
        other = platform.scope.org("globex")
        with pytest.raises(NotFound):
            await platform.pipelines.get(other, run.run_id)
        with pytest.raises(NotFound):
            await platform.pipelines.cancel(other, run.run_id)
        assert (await platform.pipelines.page(other))[0] == []


async def test_the_future_and_too_many_days_are_refused(bench):
    bench.write_pipeline(ONE)
    async with bench.open(work=False) as platform:
        today = platform.clock.now().date()
        with pytest.raises(InvalidRequest, match="future"):
            await bench.accept(platform, window=Window.day(today + DAY))
        with pytest.raises(InvalidRequest, match="366"):
            await bench.accept(platform, window=Window(today - timedelta(days=367), today))
        run = await bench.accept(platform, window=Window.inclusive(today - timedelta(days=365), today))
    assert (run.end_date - run.start_date).days == 365


async def test_a_pipeline_with_a_fault_is_refused_with_all_of_them(bench):
    bench.write_pipeline("""
  - {step_id: extract_a, ps_type: trial.note, seconds: soon, colour: red}
  - {step_id: extract_b, ps_type: trial.fail}
""")
    async with bench.open(work=False) as platform:
        with pytest.raises(ConfigError) as refused:
            await bench.accept(platform)
    assert len(refused.value.faults) == 3
    assert await _no_runs(bench)


async def _no_runs(bench):
    async with bench.open(work=False, onboard=False) as platform:
        return (await platform.pipelines.page(platform.scope.org("acme")))[0] == []


async def test_a_suspended_organization_runs_nothing(bench):
    bench.write_pipeline(ONE)
    async with bench.open(work=False) as platform:
        org = platform.scope.org("acme")
        await platform.organizations.set_subscription(org, status="SUSPENDED")
        with pytest.raises(Denied, match="SUSPENDED"):
            await bench.accept(platform)


async def test_platform_pipelines_are_not_for_organizations(bench):
    async with bench.open(work=False) as platform:
        with pytest.raises(NotFound):
            platform.pipelines.find("onetime-bootstrap")
        assert {pipeline.provider for pipeline in platform.pipelines.discovered()} <= {"trial"}


async def test_a_backfill_counts_once_and_its_chunks_wait_for_the_one_slot(bench):
    bench.write_pipeline("  - {step_id: extract_a, ps_type: trial.note, seconds: 0.05}\n")
    async with bench.open(plan="STARTER") as platform:
        org = platform.scope.org("acme")
        request = RunRequest(
            platform.pipelines.find("trial-work"),
            Window.inclusive(date(2026, 10, 1), date(2026, 10, 10)),
            {"journal": str(bench.journal)},
        )
        backfill = await platform.pipelines.backfill(org, request, chunk_days=3)
        runs = [await bench.finish(platform, run) for run in backfill.runs]
        held = await platform.quotas.usage("acme")
    assert [run.status for run in runs] == [RunStatus.COMPLETED] * 4
    assert {run.trigger_type for run in runs} == {TriggerType.BACKFILL}
    assert [(run.start_date.day, run.end_date.day) for run in runs] == [(1, 3), (4, 6), (7, 9), (10, 10)]
    assert (len(held.day_runs), held.slots) == (1, {})


async def test_runs_are_listed_newest_first_page_by_page(bench):
    bench.write_pipeline(ONE)
    async with bench.open(work=False) as platform:
        accepted = [(await bench.accept(platform)).run_id for _ in range(5)]
        org = platform.scope.org("acme")
        first, cursor = await platform.pipelines.page(org, limit=2)
        second, cursor = await platform.pipelines.page(org, limit=2, cursor=cursor)
        third, end = await platform.pipelines.page(org, limit=2, cursor=cursor)
    assert [run.run_id for run in [*first, *second, *third]] == accepted[::-1]
    assert end is None


async def test_runs_are_found_by_status_and_pipeline(bench):
    bench.write_pipeline(ONE)
    bench.write_pipeline(ONE, name="other")
    async with bench.open(work=False) as platform:
        one = await bench.accept(platform)
        two = await bench.accept(platform, name="other")
        org = platform.scope.org("acme")
        await platform.pipelines.cancel(org, two.run_id)
        pending, _ = await platform.pipelines.page(org, status=RunStatus.PENDING)
        other, _ = await platform.pipelines.page(org, pipeline_id="trial-other")
    assert [run.run_id for run in pending] == [one.run_id]
    assert [run.run_id for run in other] == [two.run_id]


async def test_a_cursor_that_is_not_ours_is_refused(bench):
    async with bench.open(work=False) as platform:
        with pytest.raises(InvalidRequest):
            await platform.pipelines.page(platform.scope.org("acme"), cursor="bm9uc2Vuc2U=")
