"""A sheet or file made the organization's mapping, and FOCUS built anew for the days whose spenders it changes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final

from convergence.costs.focus.build import build_focus, cut_days
from convergence.costs.identity.mapping import Cells, MappingFault
from convergence.costs.identity.moves import find_moved_days
from convergence.costs.identity.service import STREAM, IdentityMapping
from convergence.errors import Conflict
from convergence.kit.clock import today
from convergence.kit.ids import new_id
from convergence.kit.window import DAY, Window
from convergence.state import StateStore
from convergence.steps import StepContext, StepResult
from convergence.tenancy import OrgScope
from convergence.warehouse import Claim

_FIRST_DAY: Final = date(2015, 1, 1)  # before any provider's first cost
_SHOWN_FAULTS: Final = 20
_TRIES: Final = 20


async def load_mapping(context: StepContext, cells: Cells, source: str) -> StepResult:
    """Replace the mapping by what these cells say, unless they look cleared or broken.

    Raises:
        InvalidRequest: they do; the last good mapping stays.
    """
    mapping = IdentityMapping(context.warehouse, context.catalog, context.tenant)
    reading = await mapping.read(cells, source)
    await mapping.check(reading, source, context.clock.now())
    window = Window(_FIRST_DAY, today(context.clock) + DAY)
    waiting = WaitingDays(context.state, context.tenant)
    await waiting.add(await find_moved_days(context.warehouse, context.tenant, window, reading.rows))
    claim = Claim(STREAM, context.run.run_id, context.run.fence, new_id("load"))
    done = await mapping.load(reading, source, context.clock.now(), claim=claim)
    days = await _rebuild(context, waiting)
    return StepResult(
        done.rows,
        {"lines_left_out": len(done.faults), "changed": done.changed, "days_rebuilt": days},
        tuple(_tell(fault) for fault in done.faults[:_SHOWN_FAULTS]),
    )


@dataclass(frozen=True, slots=True)
class WaitingDays:
    """Days whose FOCUS rows name the spenders of an earlier mapping. They outlive the run that found them."""

    state: StateStore
    org: OrgScope

    async def add(self, days: Iterable[date]) -> None:
        """
        Raises:
            Conflict: others kept adding some.
        """
        for _ in range(_TRIES):
            entry = await self.state.get(self._key)
            held = set(json.loads(entry.value)) if entry else set()
            wanted = held | {day.isoformat() for day in days}
            version = entry.version if entry else None
            if wanted == held or await self._write(version, wanted):
                return
        raise Conflict("the mapping is being changed by others", hint="Try again in a moment.")

    async def read(self) -> list[date]:
        entry = await self.state.get(self._key)
        return [date.fromisoformat(day) for day in json.loads(entry.value)] if entry else []

    async def remove(self, days: Iterable[date]) -> None:
        """
        Raises:
            Conflict: as `add`.
        """
        gone = {day.isoformat() for day in days}
        for _ in range(_TRIES):
            entry = await self.state.get(self._key)
            if entry is None:
                return
            if await self._write(entry.version, set(json.loads(entry.value)) - gone):
                return
        raise Conflict("the mapping is being changed by others", hint="Try again in a moment.")

    async def _write(self, version: int | None, days: set[str]) -> bool:
        value = json.dumps(sorted(days)).encode()
        return await self.state.compare_and_set(self._key, version, value) is not None

    @property
    def _key(self) -> str:
        return f"{self.org.org_slug}/identity/moved"


async def _rebuild(context: StepContext, waiting: WaitingDays) -> int:
    days = await waiting.read()
    for window in cut_days(dict.fromkeys(days, 0)):
        await build_focus(context, window)
    await waiting.remove(days)
    return len(days)


def _tell(fault: MappingFault) -> str:
    return f"line {fault.line}: {fault.column or 'it'} {fault.reason}"
