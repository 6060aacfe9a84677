"""Every slot of a schedule starts one run, also when nothing ran at the time."""

import asyncio
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from convergence.bootstrap import open_platform
from convergence.kit.clock import ManualClock
from convergence.organizations.models import OnboardingRequest
from convergence.pipelines.scheduler import Tick
from convergence.settings import load_settings
from convergence.simulator import OpenAIWorld, Simulator, SimulatorServer
from convergence.sql import Statement

CONFIGS = Path(__file__).parents[3] / "configs"
KEY = "sk-admin-scheduler-0123456789abcdef"


@pytest.fixture
def clock():
    return ManualClock(datetime(2026, 11, 20, 12, tzinfo=UTC))


@pytest.fixture
def simulator(clock):
    simulated = Simulator(clock=clock)
    simulated.add_account(KEY, OpenAIWorld(7, end_day=date(2026, 11, 20), days=3, rows_per_day=2))
    with SimulatorServer(simulated) as server:
        yield server


@pytest.fixture
async def platform(bench, clock, simulator):
    """One organization with a valid OpenAI integration, and one schedule at 04:00."""
    configs = bench.folder / "configs"
    (configs / "openai").mkdir()
    (configs / "openai" / "work.yml").write_text(
        'pipeline_id: openai-work\nschedule: "0 4 * * *"\nsteps:\n  - {step_id: extract_a, ps_type: trial.note}\n'
    )
    shutil.copytree(CONFIGS / "integrations", configs / "integrations")
    for part in ("schemas", "seeds"):
        shutil.copytree(CONFIGS / "openai" / part, configs / "openai" / part)
    settings = load_settings(
        {
            "DATA_DIR": str(bench.folder / "data"),
            "CONFIGS_DIR": str(configs),
            "OPENAI_BASE_URL": simulator.base_urls["openai"],
        }
    )
    async with open_platform(settings, clock=clock, processors="trial_processors") as opened:
        await opened.organizations.bootstrap(force_recreate_dataset=False)
        await opened.organizations.onboard(OnboardingRequest("acme", "Acme", "a@example.com", "SCALE"))
        await opened.integrations.setup(opened.scope.org("acme"), "openai", KEY)
        yield opened


async def _windows(platform):
    runs, _ = await platform.pipelines.page(platform.scope.org("acme"), limit=100)
    return [(run.start_date, run.end_date, run.trigger_type.value) for run in reversed(runs)]


async def test_nothing_is_due_when_a_schedule_is_first_seen(platform):
    assert await platform.scheduler.tick() == Tick(0, 0, 0)


async def test_a_slot_starts_one_run_of_the_day_before_it(platform, clock):
    await platform.scheduler.tick()
    clock.advance(timedelta(hours=17))
    ticks = [await platform.scheduler.tick() for _ in range(3)]
    assert [tick.enqueued for tick in ticks] == [1, 0, 0]
    assert await _windows(platform) == [(date(2026, 11, 20), date(2026, 11, 20), "scheduler")]


async def test_missed_slots_are_caught_up_oldest_first(platform, clock):
    await platform.scheduler.tick()
    clock.advance(timedelta(days=3))
    assert (await platform.scheduler.tick()).enqueued == 3
    assert [start.day for start, _, _ in await _windows(platform)] == [20, 21, 22]


async def test_two_schedulers_start_a_slot_once(platform, clock):
    await platform.scheduler.tick()
    clock.advance(timedelta(days=1))
    await asyncio.gather(*(platform.scheduler.tick() for _ in range(5)))
    assert len(await _windows(platform)) == 1


async def test_each_started_slot_is_recorded(platform, clock):
    await platform.scheduler.tick()
    clock.advance(timedelta(days=2))
    await platform.scheduler.tick()
    rows = await platform.warehouse.query(
        Statement(
            "SELECT schedule_slot FROM org_scheduled_pipeline_runs ORDER BY schedule_slot", platform.scope.dataset
        )
    )
    assert [row["schedule_slot"].isoformat() for row in rows.to_pylist()] == [
        "2026-11-21T04:00:00+00:00",
        "2026-11-22T04:00:00+00:00",
    ]


async def test_without_a_valid_integration_nothing_starts(platform, clock):
    await platform.scheduler.tick()
    await platform.integrations.delete(platform.scope.org("acme"), "openai")
    clock.advance(timedelta(days=1))
    assert await platform.scheduler.tick() == Tick(0, 0, 0)


async def test_what_compares_all_providers_runs_where_any_is_valid(platform, clock, bench):
    folder = bench.folder / "configs" / "reconciliation"
    folder.mkdir()
    (folder / "daily.yml").write_text(
        'pipeline_id: compare\nschedule: "0 7 * * *"\nsteps:\n  - {step_id: extract_a, ps_type: trial.note}\n'
    )
    await platform.scheduler.tick()
    clock.advance(timedelta(days=1))
    with_one = await platform.scheduler.tick()
    await platform.integrations.delete(platform.scope.org("acme"), "openai")
    clock.advance(timedelta(days=1))
    assert (with_one.enqueued, (await platform.scheduler.tick()).due) == (2, 0)


async def test_a_suspended_organization_is_passed_over(platform, clock):
    await platform.scheduler.tick()
    await platform.organizations.set_subscription(platform.scope.org("acme"), status="SUSPENDED")
    clock.advance(timedelta(days=1))
    assert await platform.scheduler.tick() == Tick(0, 0, 0)


async def test_over_the_quota_a_slot_waits_for_the_next_day(platform, clock):
    await platform.organizations.set_subscription(platform.scope.org("acme"), plan="STARTER")
    await platform.scheduler.tick()
    clock.advance(timedelta(days=8))
    tick = await platform.scheduler.tick()
    assert (tick.enqueued, tick.deferred) == (6, 1)
    clock.advance(timedelta(days=1))
    assert (await platform.scheduler.tick()).enqueued == 3
