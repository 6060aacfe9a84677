"""Exact totals of a team, as the provider states them at a moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from convergence.simulator.amounts import Sums, empty_sums, nested_sums, to_decimal, to_decimals
from convergence.simulator.cursor.offers import PLACES, TOKENS

if TYPE_CHECKING:
    from collections import defaultdict

    from convergence.simulator.cursor.world import CursorWorld, Event


@dataclass(slots=True)
class _Tally:
    """Sums of integers: amounts in ten-millionths of a dollar."""

    events: Sums = field(default_factory=empty_sums)
    usage: Sums = field(default_factory=empty_sums)
    cost: defaultdict[str, Sums] = field(default_factory=nested_sums)
    included: defaultdict[str, Sums] = field(default_factory=nested_sums)
    list_cost: defaultdict[str, Sums] = field(default_factory=nested_sums)

    def count(self, event: Event, day: str) -> None:
        self.events[day] += 1
        for name, quantity in zip(TOKENS, event.row.measures, strict=False):
            self.usage[name] += quantity
        self.usage["tenths"] += event.row.measures[-1] if event.offer.rate is None else 0
        groups = {
            "total": "total",
            "by_day": day,
            "by_model": event.offer.model,
            "by_kind": event.offer.kind,
            "by_user": event.origin.email,
            "by_team": event.origin.team,
        }
        for name, group in groups.items():
            self.list_cost[name][group] += event.price.listed
            (self.cost if event.offer.is_chargeable else self.included)[name][group] += event.price.charged


def build_truth(world: CursorWorld, now: datetime) -> dict[str, Any]:
    """Counts and sums over all days as far as they are told, amounts as Decimal.

    `cost` is what chargeable events were charged, `included` what the others would have been, `list_cost` the value of
    all before discounts, `cycle` the two since the billing cycle began, by user.
    """
    tally, cycle = _Tally(), _Tally()
    began = int(world.cycle_start(now).timestamp()) * 1_000
    for day in world.window.days():
        for event in world.events(day, now):
            tally.count(event, day.isoformat())
            if event.moment >= began:
                cycle.count(event, day.isoformat())
    return {
        "provider": "cursor",
        "seed": world.seed,
        "revision": world.revision,
        "start": world.window.start.isoformat(),
        "end": world.window.end.isoformat(),
        "currency": "USD",
        "rows": {"usage_events": dict(tally.events)},
        "usage": {**{name: tally.usage[name] for name in TOKENS}, "requests": Decimal(tally.usage["tenths"]) / 10},
        "cost": _amounts(tally.cost),
        "included": _amounts(tally.included),
        "list_cost": _amounts(tally.list_cost),
        "cycle": {
            "start": world.cycle_start(now),
            "cost": to_decimals(cycle.cost, PLACES).get("by_user", {}),
            "included": to_decimals(cycle.included, PLACES).get("by_user", {}),
        },
        "directory": {
            "people": [
                {"id": person.id, "name": person.name, "email": person.email, "team": person.team}
                for person in world.team.members
            ]
        },
    }


def _amounts(sums: defaultdict[str, Sums]) -> dict[str, Any]:
    return {**to_decimals(sums, PLACES), "total": to_decimal(sums["total"]["total"], PLACES)}
