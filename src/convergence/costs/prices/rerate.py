"""Past days priced anew: what moves in list cost, and the proof that nothing moves in what was billed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from convergence.errors import DataQualityError
from convergence.kit.money import format_amount

if TYPE_CHECKING:
    import pyarrow as pa

_KEYS = ("usage_date", "model", "currency")


@dataclass(frozen=True, slots=True)
class Figures:
    """Sums of a day, model and currency. `list_cost` is None where nothing of it has a price."""

    list_cost: Decimal | None
    billed_cost: Decimal


Ledger = Mapping[tuple[date, str | None, str], Figures]


@dataclass(frozen=True, slots=True)
class Move:
    """What becomes of the list cost of a model; None is no price at all."""

    model: str | None
    currency: str
    before: Decimal | None
    after: Decimal | None

    @property
    def shown(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "currency": self.currency,
            "list_cost_before": _text(self.before),
            "list_cost_after": _text(self.after),
        }


def build_ledger(rows: pa.Table) -> Ledger:
    """Rows of a cost table, or sums of them, by day, model and currency."""
    sums = rows.group_by(list(_KEYS)).aggregate([("list_cost", "sum"), ("billed_cost", "sum")]).to_pylist()
    return {
        (row["usage_date"], row["model"], row["currency"]): Figures(row["list_cost_sum"], row["billed_cost_sum"])
        for row in sums
    }


def find_moves(before: Ledger, after: Ledger) -> list[Move]:
    """The models whose list cost changes, the dearest change first."""
    old, new = _by_model(before), _by_model(after)
    moves = [
        Move(model, currency, old.get((model, currency)), new.get((model, currency)))
        for model, currency in old.keys() | new.keys()
        if old.get((model, currency)) != new.get((model, currency))
    ]
    return sorted(moves, key=lambda move: (-abs(_number(move.after) - _number(move.before)), move.model or ""))


def check_billed(provider: str, before: Ledger, after: Ledger) -> None:
    """What was billed stays, day by day.

    Raises:
        DataQualityError: billed_cost_moved: raw data is newer than the costs made of it.
    """
    old, new = _billed_by_day(before), _billed_by_day(after)
    for day, currency in sorted(old.keys() | new.keys()):
        was, would_be = old.get((day, currency), Decimal(0)), new.get((day, currency), Decimal(0))
        if was != would_be:
            raise DataQualityError(
                f"{provider}: what was billed on {day} would move from {was} to {would_be} {currency}",
                code="billed_cost_moved",
                hint="The reported cost is newer than the cost table: run the provider's own pipeline for the day.",
            )


def _by_model(ledger: Ledger) -> dict[tuple[str | None, str], Decimal | None]:
    parts: dict[tuple[str | None, str], list[Decimal | None]] = {}
    for (_, model, currency), figures in ledger.items():
        parts.setdefault((model, currency), []).append(figures.list_cost)
    return {key: _sum(costs) for key, costs in parts.items()}


def _billed_by_day(ledger: Ledger) -> dict[tuple[date, str], Decimal]:
    sums: dict[tuple[date, str], Decimal] = {}
    for (day, _, currency), figures in ledger.items():
        sums[day, currency] = sums.get((day, currency), Decimal(0)) + figures.billed_cost
    return sums


def _sum(costs: Iterable[Decimal | None]) -> Decimal | None:
    """None where nothing is known; what is unknown adds nothing to what is."""
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if known else None


def _number(cost: Decimal | None) -> Decimal:
    return cost or Decimal(0)


def _text(cost: Decimal | None) -> str | None:
    return None if cost is None else format_amount(cost)
