"""One day of reported cost from one day of usage: exact, with fees that usage cannot explain."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from convergence.simulator.amounts import round_pico
from convergence.simulator.anthropic.directory import Origin
from convergence.simulator.anthropic.prices import (
    BATCH,
    CODE_EXECUTION_PICO,
    OFFERS,
    PRIORITY,
    SESSION_PICO,
    WEB_SEARCH_PICO,
    Offer,
)
from convergence.simulator.anthropic.traffic import TOKEN_TYPES, WEB_SEARCH
from convergence.simulator.traffic import Row

_WORDS = ("Input Tokens", "Cache Write Tokens", "1h Cache Write Tokens", "Cache Read Tokens", "Output Tokens")
_REFUSED_ONE_IN = 20


@dataclass(frozen=True, slots=True)
class Line:
    """What one row of the cost report says beside its workspace and amount."""

    description: str
    cost_type: str
    model: str | None = None
    token_type: str | None = None
    service_tier: str | None = None
    context_window: str | None = None
    inference_geo: str | None = None
    is_public: bool = True


class CostRow(NamedTuple):
    """Cost of a workspace and line on one day. `amount` is whole units of the world's last decimal place.

    `list_pico` is usage x public price in picodollars, before the provider rounds: zero for what has none.
    """

    workspace_id: str | None
    line: Line
    amount: int
    list_pico: int


class Charge(NamedTuple):
    """What one usage row costs on one line, in picodollars."""

    origin: Origin
    line: Line
    charged: int
    listed: int


WEB_SEARCH_LINE = Line("Web Search Usage", "web_search")
CODE_EXECUTION_LINE = Line("Code Execution Usage", "code_execution", is_public=False)
SESSION_LINE = Line("Managed Agents Session Runtime", "session_usage", is_public=False)


def is_refused(place: int, row: Row) -> bool:
    """One row in twenty is made of requests that were refused: tokens without a cost."""
    return (place * 7 + row.variant) % _REFUSED_ONE_IN == 3


def charge_usage(rows: Iterable[Row], origins: Sequence[Origin], *, refuses: bool) -> Iterator[Charge]:
    """Every charge of the day's usage."""
    for place, row in enumerate(rows):
        if refuses and is_refused(place, row):
            continue
        origin, offer = origins[row.origin], OFFERS[row.variant]
        for measure, quantity in enumerate(row.measures):
            line = _line(offer, measure)
            if quantity and line is not None:
                charged, listed = _price(offer, measure)
                yield Charge(origin, line, quantity * charged, quantity * listed if line.is_public else 0)


def _price(offer: Offer, measure: int) -> tuple[int, int]:
    if measure == WEB_SEARCH:
        return WEB_SEARCH_PICO, WEB_SEARCH_PICO
    return offer.charge_pico(measure), offer.list_pico(measure)


def list_pico(offer: Offer, measure: int) -> int:
    """The public price of one unit."""
    return _price(offer, measure)[1]


def _line(offer: Offer, measure: int) -> Line | None:
    """Which line it is billed on; None for what no line bills."""
    if measure == WEB_SEARCH:
        return WEB_SEARCH_LINE
    return _TOKEN_LINES.get((offer, measure))


def _token_line(offer: Offer, measure: int) -> Line:
    tier = " (Batch)" if offer.tier == BATCH else ""
    return Line(
        f"{offer.name} Usage{tier} - {_WORDS[measure]}",
        "tokens",
        offer.model,
        TOKEN_TYPES[measure],
        offer.tier,
        offer.context,
        offer.geo,
        offer.is_public,
    )


_TOKEN_LINES = {
    (offer, measure): _token_line(offer, measure)
    for offer in OFFERS
    for measure in range(len(TOKEN_TYPES))
    if offer.tier != PRIORITY
}


def charge_day(charges: Iterable[Charge], places: int) -> list[CostRow]:
    """Cost rows of a day: one a workspace and line. No usage, no cost."""
    sums: defaultdict[tuple[str | None, Line], list[int]] = defaultdict(lambda: [0, 0])
    for charge in charges:
        cell = sums[charge.origin.workspace_id, charge.line]
        cell[0] += charge.charged
        cell[1] += charge.listed
    rows = [CostRow(room, line, round_pico(pico, places), listed) for (room, line), (pico, listed) in sums.items()]
    rows.extend(_fees(sorted({row.workspace_id or "" for row in rows}), places))
    return [row for row in rows if row.amount]


def _fees(workspaces: Sequence[str], places: int) -> Iterator[CostRow]:
    """Code execution and sessions, which no usage report tells."""
    for place, room in enumerate(workspaces):
        yield CostRow(room or None, CODE_EXECUTION_LINE, round_pico(CODE_EXECUTION_PICO * (place + 1), places), 0)
        if place % 2:
            yield CostRow(room or None, SESSION_LINE, round_pico(SESSION_PICO * 3_600 * place, places), 0)
