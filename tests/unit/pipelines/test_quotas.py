"""Reservations hold what a plan allows, whoever asks at the same time."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from convergence.errors import QuotaExceeded
from convergence.kit.clock import ManualClock
from convergence.organizations.models import Plan
from convergence.pipelines.quotas import Quotas
from convergence.state.memory import MemoryStateStore

PLAN = Plan(
    "TEST", 2, 3, pipelines_per_day=3, pipelines_per_month=5, concurrent_pipelines=2, price_per_month=Decimal(1)
)


@pytest.fixture
def clock():
    return ManualClock(datetime(2026, 11, 20, 12, tzinfo=UTC))


@pytest.fixture
async def state(clock):
    store = MemoryStateStore(None, clock=clock)
    yield store
    await store.close()


@pytest.fixture
def quotas(state, clock):
    return Quotas(state, clock)


async def _granted(quotas, count, *, with_slot):
    async def one(number):
        try:
            await quotas.reserve("acme", f"run_{number}", PLAN, with_slot=with_slot)
        except QuotaExceeded as refused:
            return refused.code
        return "granted"

    return sorted(await asyncio.gather(*map(one, range(count))))


async def test_200_parallel_requests_get_the_daily_allowance_and_no_more(quotas):
    assert await _granted(quotas, 200, with_slot=False) == ["granted"] * 3 + ["quota_daily"] * 197


async def test_parallel_requests_get_the_slots_and_the_refused_ones_do_not_count(quotas):
    assert await _granted(quotas, 50, with_slot=True) == ["granted"] * 2 + ["quota_concurrency"] * 48
    assert len((await quotas.usage("acme")).day_runs) == 2


async def test_two_processes_share_one_allowance(state, clock):
    one, other = Quotas(state, clock), Quotas(state, clock)
    results = await asyncio.gather(_granted(one, 20, with_slot=False), _granted(other, 20, with_slot=False))
    assert len((await one.usage("acme")).day_runs) == 3
    assert sum(result.count("granted") for result in results) >= 3


async def test_the_same_run_counts_once(quotas):
    await quotas.reserve("acme", "run_1", PLAN, with_slot=True)
    await quotas.reserve("acme", "run_1", PLAN, with_slot=True)
    held = await quotas.usage("acme")
    assert (len(held.day_runs), len(held.slots)) == (1, 1)


async def test_a_new_day_starts_empty_and_the_month_goes_on(quotas, clock):
    for number in range(3):
        await quotas.reserve("acme", f"a{number}", PLAN, with_slot=False)
    clock.advance(timedelta(days=1))
    for number in range(2):
        await quotas.reserve("acme", f"b{number}", PLAN, with_slot=False)
    with pytest.raises(QuotaExceeded) as refused:
        await quotas.reserve("acme", "b2", PLAN, with_slot=False)
    assert refused.value.code == "quota_monthly"
    assert refused.value.retry_after == timedelta(days=9, hours=12).total_seconds()


async def test_a_new_month_forgets_the_old_one(quotas, clock):
    for number in range(3):
        await quotas.reserve("acme", f"a{number}", PLAN, with_slot=False)
    clock.advance(timedelta(days=11))
    assert (await quotas.usage("acme")).month_runs == 0


async def test_retry_after_is_the_time_to_midnight(quotas):
    for number in range(3):
        await quotas.reserve("acme", f"a{number}", PLAN, with_slot=False)
    with pytest.raises(QuotaExceeded) as refused:
        await quotas.reserve("acme", "a3", PLAN, with_slot=False)
    assert refused.value.retry_after == timedelta(hours=12).total_seconds()


async def test_a_released_slot_can_be_taken_and_the_run_stays_counted(quotas):
    for number in range(2):
        await quotas.reserve("acme", f"a{number}", PLAN, with_slot=True)
    assert await quotas.take_slot("acme", "waiting", PLAN) is False
    await quotas.release("acme", "a0")
    assert await quotas.take_slot("acme", "waiting", PLAN) is True
    assert sorted((await quotas.usage("acme")).day_runs) == ["a0", "a1"]


async def test_undo_takes_everything_back(quotas):
    await quotas.reserve("acme", "a", PLAN, with_slot=True)
    await quotas.undo("acme", "a")
    held = await quotas.usage("acme")
    assert (held.day_runs, held.slots) == ({}, {})


async def test_recount_frees_what_a_crash_leaked_and_keeps_what_lives(quotas, clock):
    await quotas.reserve("acme", "lives", PLAN, with_slot=True)
    await quotas.reserve("acme", "never_recorded", PLAN, with_slot=True)
    clock.advance(timedelta(minutes=5))
    await quotas.recount("acme", known={"lives"}, running={"lives"})
    held = await quotas.usage("acme")
    assert (sorted(held.day_runs), sorted(held.slots)) == (["lives"], ["lives"])


async def test_recount_leaves_a_reservation_that_is_seconds_old(quotas):
    await quotas.reserve("acme", "just_now", PLAN, with_slot=True)
    await quotas.recount("acme", known=set(), running=set())
    held = await quotas.usage("acme")
    assert (sorted(held.day_runs), sorted(held.slots)) == (["just_now"], ["just_now"])


async def test_one_organization_does_not_use_up_another(quotas):
    for number in range(3):
        await quotas.reserve("acme", f"a{number}", PLAN, with_slot=False)
    await quotas.reserve("globex", "g", PLAN, with_slot=False)
    assert len((await quotas.usage("globex")).day_runs) == 1
