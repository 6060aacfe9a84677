"""Exact totals of a world, as the provider states them at a moment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from convergence.simulator.amounts import PICO_PLACES, Sums, empty_sums, nested_sums, to_decimal, to_decimals
from convergence.simulator.openai.charges import LINES
from convergence.simulator.openai.prices import CREDIT_ITEM, UPLIFT_ITEM, Line
from convergence.simulator.openai.streams import STREAMS, Stream
from convergence.simulator.traffic import Row

if TYPE_CHECKING:
    from convergence.simulator.openai.directory import Origin
    from convergence.simulator.openai.world import OpenAIWorld

UNATTRIBUTED = "unattributed"
NO_MODEL = "no model"


@dataclass(slots=True)
class _Tally:
    """Sums of integers; amounts in the world's units, list prices in picodollars."""

    rows: dict[str, dict[str, int]] = field(default_factory=dict)
    measures: defaultdict[str, Sums] = field(default_factory=nested_sums)
    tokens_by_model: defaultdict[str, Sums] = field(default_factory=nested_sums)
    cost: defaultdict[str, Sums] = field(default_factory=nested_sums)
    list_cost: defaultdict[str, Sums] = field(default_factory=nested_sums)
    explained: Sums = field(default_factory=empty_sums)


def build_truth(world: OpenAIWorld, now: datetime) -> dict[str, Any]:
    """Counts and sums over all days up to `now`, amounts as Decimal."""
    tally = _Tally()
    for day in world.window.days():
        for stream in STREAMS.values():
            _count_usage(tally, world, stream, day, now)
        _count_costs(tally, world, day, now)
    places = world.amount_places
    return {
        "provider": "openai",
        "seed": world.seed,
        "revision": world.revision,
        "start": world.window.start.isoformat(),
        "end": world.window.end.isoformat(),
        "currency": "USD",
        "rows": tally.rows,
        "usage": {name: dict(sums) for name, sums in tally.measures.items()},
        "tokens_by_model": {name: dict(sums) for name, sums in sorted(tally.tokens_by_model.items())},
        "cost": _amounts(tally.cost, places),
        "list_cost": _amounts(tally.list_cost, PICO_PLACES),
        "residual": _residual(tally, places),
        "directory": _directory(world),
    }


def _count_usage(tally: _Tally, world: OpenAIWorld, stream: Stream, day: date, now: datetime) -> None:
    rows = list(world.rows_until(stream, day, now))
    tally.rows.setdefault(stream.name, {})[day.isoformat()] = len(rows)
    sums = tally.measures[stream.name]
    for model, measures in _by_model(stream, rows).items():
        shown = dict(zip(stream.fields, stream.show(tuple(measures)), strict=True))
        for name, value in shown.items():
            sums[name] += value
            if stream.name == "completions":
                tally.tokens_by_model[model][name] += value


def _by_model(stream: Stream, rows: list[Row]) -> Mapping[str, list[int]]:
    sums: dict[str, list[int]] = {}
    for row in rows:
        model = str(stream.variants[row.variant].dimensions.get("model", NO_MODEL))
        held = sums.setdefault(model, [0] * len(row.measures))
        for place, value in enumerate(row.measures):
            held[place] += value
    return sums


def _count_costs(tally: _Tally, world: OpenAIWorld, day: date, now: datetime) -> None:
    """Fold a day into origins and lines first: tens of thousands of rows become hundreds."""
    costs = list(world.costs_until(day, now))
    tally.rows.setdefault("costs", {})[day.isoformat()] = len(costs)
    by_origin: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
    by_line: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
    for cost in costs:
        for sums in (by_origin[cost.origin], by_line[cost.line]):
            sums[0] += cost.amount
            sums[1] += cost.list_pico
    for place, (amount, listed) in by_origin.items():
        _add(tally, _origin_groups(world.origins[place], day), amount, listed)
    for place, (amount, listed) in by_line.items():
        line = LINES[place]
        _add(tally, {"by_line_item": line.text, "by_model": line.model or NO_MODEL}, amount, listed)
        tally.explained[_explanation(line)] += amount


def _add(tally: _Tally, groups: Mapping[str, str], amount: int, listed: int) -> None:
    for name, group in groups.items():
        tally.cost[name][group] += amount
        if listed:
            tally.list_cost[name][group] += listed


def _origin_groups(origin: Origin, day: date) -> dict[str, str]:
    return {
        "total": "total",
        "by_day": day.isoformat(),
        "by_project": origin.project_id,
        "by_api_key": origin.api_key_id or UNATTRIBUTED,
        "by_person": origin.person_id or UNATTRIBUTED,
        "by_team": origin.team,
    }


def _explanation(line: Line) -> str:
    if line.is_public:
        return "priced"
    return {UPLIFT_ITEM: "fees", CREDIT_ITEM: "credits"}.get(line.text, "unpriced_models")


def _residual(tally: _Tally, places: int) -> dict[str, Decimal]:
    """Reported cost less usage x public price, and what it is made of."""
    listed = to_decimal(tally.list_cost["total"]["total"], PICO_PLACES)
    parts = {name: to_decimal(tally.explained[name], places) for name in ("unpriced_models", "fees", "credits")}
    rounding = to_decimal(tally.explained["priced"], places) - listed
    return {"total": to_decimal(tally.cost["total"]["total"], places) - listed, "rounding": rounding, **parts}


def _amounts(sums: Mapping[str, Sums], places: int) -> dict[str, Any]:
    return {**to_decimals(sums, places), "total": to_decimal(sums["total"]["total"], places)}


def _directory(world: OpenAIWorld) -> dict[str, Any]:
    directory = world.directory
    return {
        "organization_id": directory.organization_id,
        "people": [
            {"id": person.id, "name": person.name, "email": person.email, "team": person.team}
            for person in directory.people
        ],
        "projects": [{"id": item.id, "name": item.name, "team": item.team} for item in directory.projects],
        "api_keys": [
            {"id": key.id, "name": key.name, "project_id": key.project_id, "owner_id": key.owner_id}
            for key in directory.keys
        ],
    }
