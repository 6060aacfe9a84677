"""Conservation on record: for each provider, day and currency the sums that must be one figure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from convergence.costs.focus.build import find_sources
from convergence.costs.report import read_costs
from convergence.costs.reported import read_reported_totals
from convergence.errors import DataQualityError
from convergence.kit.money import format_amount
from convergence.kit.window import Window
from convergence.sql import Statement
from convergence.tenancy import OrgScope
from convergence.warehouse import Warehouse

if TYPE_CHECKING:
    from convergence.catalog import Catalog

CONSERVED, BROKEN = "CONSERVED", "BROKEN"
_NOTHING: Final = Decimal(0)
_DAILY: Final = """
SELECT usage_date, currency, SUM(billed_cost) AS amount
FROM {provider}_cost_daily
WHERE usage_date >= @start_date AND usage_date < @end_date
GROUP BY usage_date, currency
"""
_FOCUS: Final = """
SELECT x_UsageDate AS usage_date, BillingCurrency AS currency, SUM(BilledCost) AS amount
FROM focus_cost_daily
WHERE x_UsageDate >= @start_date AND x_UsageDate < @end_date AND x_DeliveryScope = @provider
GROUP BY x_UsageDate, BillingCurrency
"""

Key = tuple[date, str]
Sums = Mapping[Key, Decimal]


@dataclass(frozen=True, slots=True)
class Proof:
    """The sums of one day and currency. `raw` is None where no cost is reported, `focus` where none was built."""

    usage_date: date
    currency: str
    raw: Decimal | None
    daily: Decimal
    attributed: Decimal
    unattributed: Decimal
    focus: Decimal | None

    @property
    def status(self) -> str:
        return BROKEN if self.fault else CONSERVED

    @property
    def fault(self) -> str | None:
        """The first two sums that should agree and do not."""
        owned = self.attributed + self.unattributed
        pairs = (("reported", self.raw), ("attributed and unattributed", owned), ("in FOCUS", self.focus))
        for name, amount in pairs:
            if amount is not None and amount != self.daily:
                return f"{amount} {name} and {self.daily} in the cost table"
        return None


async def prove_conservation(
    warehouse: Warehouse, catalog: Catalog, org: OrgScope, provider: str, window: Window, *, with_focus: bool
) -> list[Proof]:
    """One proof for each day and currency that has money anywhere, in order of day."""
    tables = frozenset(await warehouse.tables(org.dataset))
    if f"{provider}_cost_daily" not in tables:
        return []
    reported = await read_reported_totals(warehouse, catalog, org, provider, window, tables)
    raw = None if reported is None else _sums(reported)
    daily = await _query(warehouse, org, _DAILY.format(provider=provider), _days(window))
    is_built = any(source.scope == provider for source in find_sources(catalog, tables, [provider]))
    focus = await _read_focus(warehouse, org, provider, window, tables) if with_focus and is_built else None
    owned, ownerless = await _read_owners(warehouse, org, provider, window)
    keys = sorted({key for sums in (raw, daily, owned, ownerless, focus) for key in sums or ()})
    return [
        Proof(
            day,
            currency,
            raw=None if raw is None else raw.get((day, currency), _NOTHING),
            daily=daily.get((day, currency), _NOTHING),
            attributed=owned.get((day, currency), _NOTHING),
            unattributed=ownerless.get((day, currency), _NOTHING),
            focus=None if focus is None else focus.get((day, currency), _NOTHING),
        )
        for day, currency in keys
    ]


def check_proofs(provider: str, proofs: Iterable[Proof]) -> None:
    """Refuse what is not conserved.

    Raises:
        DataQualityError: conservation_broken, naming the first day that is broken and both sums.
    """
    broken = [proof for proof in proofs if proof.fault]
    if not broken:
        return
    first = broken[0]
    raise DataQualityError(
        f"cost of {provider} on {first.usage_date} in {first.currency} is not conserved: {first.fault}",
        code="conservation_broken",
        hint="Run the day again; if it stays, report it with the day's row of cost_conservation_daily.",
        fields={"provider": provider, "days": sorted({proof.usage_date.isoformat() for proof in broken})},
    )


def sum_proofs(proofs: Iterable[Proof]) -> list[dict[str, Any]]:
    """The sums of each currency over all days, for the record of a run."""
    by_currency: dict[str, list[Proof]] = defaultdict(list)
    for proof in proofs:
        by_currency[proof.currency].append(proof)
    return [{"currency": currency, **dict(_totals(held))} for currency, held in sorted(by_currency.items())]


def _totals(proofs: list[Proof]) -> Iterator[tuple[str, str | None]]:
    for name in ("raw", "daily", "attributed", "unattributed", "focus"):
        amounts = [getattr(proof, name) for proof in proofs]
        yield name, None if None in amounts else format_amount(sum(amounts, _NOTHING))


async def _read_owners(warehouse: Warehouse, org: OrgScope, provider: str, window: Window) -> tuple[Sums, Sums]:
    """What the report hands to people, and what it hands to nobody."""
    report = await read_costs(warehouse, org, window, group_by=["person"], providers=[provider])
    sums: tuple[dict[Key, Decimal], dict[Key, Decimal]] = (defaultdict(Decimal), defaultdict(Decimal))
    for row in report.rows:
        sums[row["person"] is None][row["day"], row["currency"]] += row["billed_cost"]
    return sums


async def _read_focus(
    warehouse: Warehouse, org: OrgScope, provider: str, window: Window, tables: frozenset[str]
) -> Sums:
    if "focus_cost_daily" not in tables:
        return {}
    return await _query(warehouse, org, _FOCUS, {**_days(window), "provider": provider})


async def _query(warehouse: Warehouse, org: OrgScope, sql: str, parameters: Mapping[str, Any]) -> Sums:
    return _sums((await warehouse.query(Statement(sql, org.dataset, parameters))).to_pylist())


def _sums(rows: Iterable[Mapping[str, Any]]) -> Sums:
    return {(row["usage_date"], row["currency"]): row["amount"] for row in rows}


def _days(window: Window) -> dict[str, date]:
    return {"start_date": window.start, "end_date": window.end}
