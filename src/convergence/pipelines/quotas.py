"""What a plan allows: runs a day, runs a month, runs at a time.

One document per organization holds all three, so that one compare-and-set reserves or gives back. A run counts once,
however often it is reserved, because it is remembered by its id.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from datetime import date, datetime, timedelta

import msgspec

from convergence.errors import QuotaExceeded
from convergence.kit.clock import Clock
from convergence.kit.window import DAY, midnight
from convergence.organizations.models import Plan
from convergence.state import StateStore

_GRACE = timedelta(minutes=2)  # between reserving and recording a run


class Reservations(msgspec.Struct, kw_only=True):
    """Runs counted today and this month (today's included), and those that hold a slot since when."""

    day: date
    day_runs: dict[str, datetime] = {}
    month_before_today: int = 0
    slots: dict[str, datetime] = {}

    @property
    def month_runs(self) -> int:
        return self.month_before_today + len(self.day_runs)

    def roll(self, today: date) -> None:
        """Move on to `today`: a new day starts empty, a new month forgets the old one."""
        if self.day == today:
            return
        same_month = (self.day.year, self.day.month) == (today.year, today.month)
        self.month_before_today = self.month_runs if same_month else 0
        self.day, self.day_runs = today, {}


class Quotas:
    """Reserves and gives back what the plan allows."""

    def __init__(self, state: StateStore, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # spares this process useless CAS races

    async def reserve(self, org_slug: str, run_id: str, plan: Plan, *, with_slot: bool) -> None:
        """Count a run, and take a slot for it unless it may wait for one.

        Raises:
            QuotaExceeded: the day, the month or the concurrency of the plan is used up; nothing was reserved.
        """

        def change(held: Reservations) -> None:
            if run_id not in held.day_runs:
                self._check_counts(held, plan)
                held.day_runs[run_id] = self._clock.now()
            if with_slot and run_id not in held.slots:
                _check_slots(held, plan)
                held.slots[run_id] = self._clock.now()

        await self._change(org_slug, change)

    async def take_slot(self, org_slug: str, run_id: str, plan: Plan) -> bool:
        """Take a slot for a run that waited; False while none is free."""

        def change(held: Reservations) -> None:
            if run_id not in held.slots:
                _check_slots(held, plan)
                held.slots[run_id] = self._clock.now()

        try:
            await self._change(org_slug, change)
        except QuotaExceeded:
            return False
        return True

    async def release(self, org_slug: str, run_id: str) -> None:
        """Give the slot back; the run stays counted."""
        await self._change(org_slug, lambda held: _forget_slot(held, run_id))

    async def undo(self, org_slug: str, run_id: str) -> None:
        """Take back a reservation whose run was never accepted."""

        def change(held: Reservations) -> None:
            _forget_slot(held, run_id)
            held.day_runs.pop(run_id, None)

        await self._change(org_slug, change)

    async def usage(self, org_slug: str) -> Reservations:
        """What is reserved now."""
        _, held = await self._read(org_slug)
        return held

    async def recount(self, org_slug: str, *, known: set[str], running: set[str]) -> None:
        """Heal after a crash: drop slots of runs that ended, and runs that were reserved but never recorded."""
        cutoff = self._clock.now() - _GRACE

        def change(held: Reservations) -> None:
            held.slots = {run: since for run, since in held.slots.items() if run in running or since > cutoff}
            held.day_runs = {run: since for run, since in held.day_runs.items() if run in known or since > cutoff}

        await self._change(org_slug, change)

    def _check_counts(self, held: Reservations, plan: Plan) -> None:
        if len(held.day_runs) >= plan.pipelines_per_day:
            raise QuotaExceeded(
                f"plan {plan.name} allows {plan.pipelines_per_day} runs a day, all used",
                retry_after=self._seconds_until(held.day + DAY),
                code="quota_daily",
                hint="The day ends at midnight UTC.",
            )
        if held.month_runs >= plan.pipelines_per_month:
            raise QuotaExceeded(
                f"plan {plan.name} allows {plan.pipelines_per_month} runs a month, all used",
                retry_after=self._seconds_until(_next_month(held.day)),
                code="quota_monthly",
                hint="The month ends at midnight UTC.",
            )

    def _seconds_until(self, day: date) -> float:
        return max(1.0, (midnight(day) - self._clock.now()).total_seconds())

    async def _read(self, org_slug: str) -> tuple[int | None, Reservations]:
        entry = await self._state.get(_key(org_slug))
        today = self._clock.now().date()
        if entry is None:
            return None, Reservations(day=today)
        held = msgspec.json.decode(entry.value, type=Reservations)
        held.roll(today)
        return entry.version, held

    async def _change(self, org_slug: str, change: Callable[[Reservations], None]) -> None:
        async with self._turns[org_slug]:
            while True:
                version, held = await self._read(org_slug)
                before = msgspec.json.encode(held)
                change(held)
                after = msgspec.json.encode(held)
                if after == before and version is not None:
                    return
                if await self._state.compare_and_set(_key(org_slug), version, after) is not None:
                    return


def _check_slots(held: Reservations, plan: Plan) -> None:
    if len(held.slots) >= plan.concurrent_pipelines:
        raise QuotaExceeded(
            f"plan {plan.name} runs {plan.concurrent_pipelines} at a time, and as many are open",
            retry_after=10,
            code="quota_concurrency",
            hint="Wait for a run to end, or use a backfill, whose chunks wait by themselves.",
        )


def _forget_slot(held: Reservations, run_id: str) -> None:
    held.slots.pop(run_id, None)


def _key(org_slug: str) -> str:
    return f"{org_slug}/quota"


def _next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)
