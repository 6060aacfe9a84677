"""Exact totals of a world, as the provider states them at a moment."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from convergence.simulator.amounts import PICO_PLACES, Sums, empty_sums, nested_sums, to_decimals
from convergence.simulator.deepseek.offers import TYPES

if TYPE_CHECKING:
    from convergence.simulator.deepseek.world import DeepSeekWorld, Use

GRANTED, PAID = "Granted", "Paid"
_GRANTED_SHARE = 20


@dataclass(slots=True)
class _Tally:
    usage: Sums = field(default_factory=empty_sums)
    cost: defaultdict[str, Sums] = field(default_factory=nested_sums)
    listed: defaultdict[str, Sums] = field(default_factory=nested_sums)


def build_truth(world: DeepSeekWorld, now: datetime) -> dict[str, Any]:
    """Counts and sums over all days up to `now`, amounts as Decimal, in the account's currency."""
    tally = _Tally()
    for day in world.window.days():
        for use in world.uses(day, now):
            _count(tally, world, use)
    cost = to_decimals(tally.cost, PICO_PLACES)
    return {
        "provider": "deepseek",
        "seed": world.seed,
        "revision": world.revision,
        "start": world.window.start.isoformat(),
        "end": world.window.end.isoformat(),
        "currency": world.currency,
        "user_id": world.user_id,
        "usage": dict(tally.usage),
        "cost": {**cost, "total": sum(cost.get("by_day", {}).values())},
        "list_cost": to_decimals(tally.listed, PICO_PLACES),
        "api_keys": [{"id": key.id, "name": key.name} for key in world.keys],
    }


def _count(tally: _Tally, world: DeepSeekWorld, use: Use) -> None:
    for name, amount in zip(TYPES, use.measures, strict=True):
        tally.usage[name] += amount
    cost = charge(world, use)
    groups = {"by_day": use.hour.date().isoformat(), "by_model": use.offer.model, "by_api_key": use.key.id}
    for name, group in groups.items():
        tally.cost[name][group] += cost
    if use.offer.is_public:
        tally.listed["by_day"][use.hour.date().isoformat()] += cost


def charge(world: DeepSeekWorld, use: Use) -> int:
    """What the usage cost, in pico-units."""
    rate = use.offer.rate(world.currency)
    return sum(amount * rate.pico(measure) for measure, amount in enumerate(use.measures))


def split_wallets(world: DeepSeekWorld, use: Use, cost: int) -> dict[str, int]:
    """Which wallet paid how much of a cost."""
    granted = cost // _GRANTED_SHARE // 1_000 * 1_000 if use.hour.date() in world.granted else 0
    return {wallet: amount for wallet, amount in ((PAID, cost - granted), (GRANTED, granted)) if amount}
