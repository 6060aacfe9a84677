"""Exact totals of a world, as the provider states them at a moment."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from convergence.simulator.amounts import PICO_PLACES, Sums, empty_sums, nested_sums, to_decimal, to_decimals
from convergence.simulator.anthropic.charges import Charge, list_pico
from convergence.simulator.anthropic.prices import OFFERS, PRIORITY
from convergence.simulator.anthropic.traffic import FIELDS
from convergence.simulator.days import elapsed_seconds

if TYPE_CHECKING:
    from convergence.simulator.anthropic.world import AnthropicWorld

WORKBENCH = "workbench"
UNATTRIBUTED = "unattributed"
DEFAULT = "default"
NO_MODEL = "no model"


@dataclass(slots=True)
class _Tally:
    """Sums of integers: `cost` in the world's units, `caused` in picodollars, estimates in tenths of a cent."""

    rows: defaultdict[str, Sums] = field(default_factory=nested_sums)
    usage: Sums = field(default_factory=empty_sums)
    tokens_by_model: defaultdict[str, Sums] = field(default_factory=nested_sums)
    cost: defaultdict[str, Sums] = field(default_factory=nested_sums)
    caused: defaultdict[str, Sums] = field(default_factory=nested_sums)
    list_cost: Sums = field(default_factory=empty_sums)
    claude_code: Sums = field(default_factory=empty_sums)


def build_truth(world: AnthropicWorld, now: datetime) -> dict[str, Any]:
    """Counts and sums over all days up to `now`, amounts as Decimal.

    The provider tells costs by day, workspace, description, model and cost type. `caused` is what usage cost, before
    each line is rounded, by the key, person and team that caused it: nobody but the simulator knows it.
    """
    tally = _Tally()
    for day in world.window.days():
        _count_usage(tally, world, day, now)
        _count_costs(tally, world, day, now)
        _count_claude_code(tally, world, day, now)
    places = world.amount_places
    return {
        "provider": "anthropic",
        "seed": world.seed,
        "revision": world.revision,
        "start": world.window.start.isoformat(),
        "end": world.window.end.isoformat(),
        "currency": "USD",
        "rows": {name: dict(days) for name, days in tally.rows.items()},
        "usage": dict(tally.usage),
        "tokens_by_model": {model: dict(sums) for model, sums in sorted(tally.tokens_by_model.items())},
        "cost": {**to_decimals(tally.cost, places), "total": to_decimal(tally.cost["total"]["total"], places)},
        "caused": to_decimals(tally.caused, PICO_PLACES),
        "list_cost": {name: to_decimal(amount, PICO_PLACES) for name, amount in tally.list_cost.items()},
        "claude_code": {**tally.claude_code, "estimated_cost": to_decimal(tally.claude_code["estimated_cost"], 3)},
        "directory": _directory(world),
    }


def _count_usage(tally: _Tally, world: AnthropicWorld, day: date, now: datetime) -> None:
    for row in world.rows_between(day, 0, elapsed_seconds(day, now)):
        offer = OFFERS[row.variant]
        tally.rows["usage"][day.isoformat()] += 1
        for measure, (name, quantity) in enumerate(zip(FIELDS, row.measures, strict=True)):
            tally.usage[name] += quantity
            tally.tokens_by_model[offer.model][name] += quantity
            if offer.is_public:
                listed = quantity * list_pico(offer, measure)
                tally.list_cost["total"] += listed
                tally.list_cost[PRIORITY] += listed if offer.tier == PRIORITY else 0


def _count_costs(tally: _Tally, world: AnthropicWorld, day: date, now: datetime) -> None:
    for row in world.costs_until(day, now):
        tally.rows["costs"][day.isoformat()] += 1
        groups = {
            "total": "total",
            "by_day": day.isoformat(),
            "by_workspace": row.workspace_id or DEFAULT,
            "by_description": row.line.description,
            "by_model": row.line.model or NO_MODEL,
            "by_cost_type": row.line.cost_type,
        }
        for name, group in groups.items():
            tally.cost[name][group] += row.amount
    for charge in world.charges_until(day, now):
        for name, group in _causes(charge).items():
            tally.caused[name][group] += charge.charged


def _causes(charge: Charge) -> dict[str, str]:
    origin = charge.origin
    return {
        "by_api_key": origin.api_key_id or WORKBENCH,
        "by_person": origin.person_id or UNATTRIBUTED,
        "by_team": origin.team,
    }


def _count_claude_code(tally: _Tally, world: AnthropicWorld, day: date, now: datetime) -> None:
    for activity in world.claude_code_until(day, now):
        tally.rows["claude_code"][day.isoformat()] += 1
        tally.claude_code["sessions"] += activity.metrics[0]
        tally.claude_code["lines_added"] += activity.metrics[1]
        tally.claude_code["accepted_edits"] += activity.metrics[5] + activity.metrics[7]
        tally.claude_code["tokens"] += sum(map(sum, activity.tokens.values()))
        tally.claude_code["estimated_cost"] += sum(activity.estimates.values())


def _directory(world: AnthropicWorld) -> dict[str, Any]:
    directory = world.directory
    return {
        "organization_id": directory.organization_id,
        "people": [
            {"id": person.id, "name": person.name, "email": person.email, "team": person.team}
            for person in directory.people
        ],
        "workspaces": [{"id": item.id, "name": item.name, "team": item.team} for item in directory.workspaces],
        "api_keys": [
            {"id": key.id, "name": key.name, "workspace_id": key.workspace_id, "owner_id": key.owner_id}
            for key in directory.keys
        ],
    }
