"""One day of reported cost from one day of usage: exact, with fees and a credit that usage cannot explain."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple

from convergence.simulator.amounts import round_pico
from convergence.simulator.openai.directory import Origin
from convergence.simulator.openai.prices import CREDIT_ITEM, UPLIFT_ITEM, Line
from convergence.simulator.openai.streams import STREAMS
from convergence.simulator.traffic import Row

_CREDIT_CENTS = -525
_UPLIFT = Line(UPLIFT_ITEM, None, None, is_public=False)
_CREDIT = Line(CREDIT_ITEM, None, None, is_public=False)

LINES = tuple(
    dict.fromkeys(
        [charge.line for stream in STREAMS.values() for variant in stream.variants for charge in variant.charges]
        + [_UPLIFT, _CREDIT]
    )
)
_PLACE = {line: place for place, line in enumerate(LINES)}
_PLANS = {
    name: tuple(
        tuple((_PLACE[charge.line], charge.price, charge.measures, charge.per) for charge in variant.charges)
        for variant in stream.variants
    )
    for name, stream in STREAMS.items()
}


class CostRow(NamedTuple):
    """Cost of one origin and line on one day. `amount` is whole units of the world's last decimal place.

    `list_pico` is usage x price in picodollars, before the provider rounds: zero for what has no public price.
    """

    origin: int
    line: int
    amount: int
    quantity: int
    list_pico: int


def is_credited(seed: int, day: date) -> bool:
    """One day in 17."""
    return (day.toordinal() + seed) % 17 == 3


def charge_rows(
    rows: Mapping[str, Iterable[Row]], origins: Sequence[Origin], first_project: int, *, places: int, credited: bool
) -> list[CostRow]:
    """Cost rows of a day; `first_project` is where the project-wide origins begin. No usage, no cost."""
    sums = _sum_charges(rows)
    costs = [_rounded(key, pico, quantity, places) for key, (pico, quantity) in sums.items()]
    costs.extend(_uplifts(costs, origins, first_project))
    if credited and costs:
        costs.append(CostRow(first_project, _PLACE[_CREDIT], _CREDIT_CENTS * 10 ** (places - 2), 0, 0))
    return costs


def _sum_charges(rows: Mapping[str, Iterable[Row]]) -> dict[int, list[int]]:
    width = len(LINES)
    sums: dict[int, list[int]] = {}
    for name, stream_rows in rows.items():
        plans = _PLANS[name]
        for origin, variant, measures in stream_rows:
            for line, price, indexes, per in plans[variant]:
                quantity = 0
                for index in indexes:
                    quantity += measures[index]
                if not quantity:
                    continue
                cell = sums.setdefault(origin * width + line, [0, 0])
                cell[0] += quantity * price // per
                cell[1] += quantity
    return sums


def _rounded(key: int, pico: int, quantity: int, places: int) -> CostRow:
    origin, line = divmod(key, len(LINES))
    return CostRow(origin, line, round_pico(pico, places), quantity, pico if LINES[line].is_public else 0)


def _uplifts(costs: Sequence[CostRow], origins: Sequence[Origin], first_project: int) -> list[CostRow]:
    """0.3 % on each project's day."""
    places = {origin.project_id: first_project + at for at, origin in enumerate(origins[first_project:])}
    sums: defaultdict[int, int] = defaultdict(int)
    for cost in costs:
        sums[places[origins[cost.origin].project_id]] += cost.amount
    return [
        CostRow(place, _PLACE[_UPLIFT], amount * 3 // 1000, 0, 0) for place, amount in sums.items() if amount >= 334
    ]
