"""Usage that the price book has no price for, shown beside the list cost so that none of it passes for free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from convergence.sql import Statement
from convergence.tenancy import OrgScope
from convergence.warehouse import Warehouse

if TYPE_CHECKING:
    from convergence.costs.report import CostSource

_NEEDED: Final = frozenset(("model", "token_class", "unit", "quantity", "list_cost"))


async def read_unpriced(
    warehouse: Warehouse, org: OrgScope, sources: Sequence[CostSource], days: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """One row a provider, model, class, unit and currency: its quantity, and what of it was billed, most first."""
    statement = build_unpriced(sources)
    if statement is None:
        return []
    rows: list[dict[str, Any]] = (await warehouse.query(Statement(statement, org.dataset, days))).to_pylist()
    return rows


def build_unpriced(sources: Sequence[CostSource]) -> str | None:
    """Rows without a unit are money alone (fees, credits) and have no price to miss."""
    parts = [_select(source.provider) for source in sources if source.columns >= _NEEDED]
    if not parts:
        return None
    return (
        "SELECT provider, model, token_class, unit, SUM(quantity) AS quantity, SUM(billed_cost) AS billed_cost,"
        f" currency FROM ({' UNION ALL '.join(parts)}) AS unpriced"
        " GROUP BY provider, model, token_class, unit, currency"
        " ORDER BY billed_cost DESC, quantity DESC, provider, model, token_class, unit, currency"
    )


def _select(provider: str) -> str:
    return (
        f"SELECT '{provider}' AS provider, model, token_class, unit, quantity, billed_cost, currency"
        f" FROM {provider}_cost_daily WHERE usage_date >= @start_date AND usage_date < @end_date"
        " AND list_cost IS NULL AND unit IS NOT NULL"
    )
