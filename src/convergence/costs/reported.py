"""What providers say they will invoice, whichever table a provider keeps it in."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

from convergence.sql import Statement
from convergence.tenancy import OrgScope
from convergence.warehouse import Warehouse

if TYPE_CHECKING:
    from convergence.catalog import Catalog
    from convergence.kit.window import Window

_RAW_TABLE: Final = re.compile(r"\b\w+_raw\b")
_USUAL: Final = """
SELECT usage_date, currency, SUM(amount) AS amount
FROM {table}
WHERE usage_date >= @start_date AND usage_date < @end_date
GROUP BY usage_date, currency
ORDER BY usage_date, currency
"""


async def read_reported_totals(
    warehouse: Warehouse, catalog: Catalog, org: OrgScope, provider: str, window: Window, tables: Collection[str]
) -> list[dict[str, Any]] | None:
    """usage_date, currency and amount of each day that has one; None where the provider reports no cost.

    `{provider}/sql/reported_totals.sql`, or `raw_totals.sql` where costs are rebuilt from raw rows, says how;
    without such a file it is the sum of amount in `{provider}_reported_cost_daily_raw`. `tables` are those of the
    organization.
    """
    sql = _find_sql(catalog, provider, tables)
    if sql is None:
        return None
    days = {"start_date": window.start, "end_date": window.end}
    found: list[dict[str, Any]] = (await warehouse.query(Statement(sql, org.dataset, days))).to_pylist()
    return found


def reported_table(provider: str) -> str:
    return f"{provider}_reported_cost_daily_raw"


def _find_sql(catalog: Catalog, provider: str, tables: Collection[str]) -> str | None:
    for name in ("reported_totals", "raw_totals"):
        path = f"{provider}/sql/{name}.sql"
        if (catalog.root / path).is_file():
            sql = catalog.text(catalog.root, path)
            return sql if all(table in tables for table in _RAW_TABLE.findall(sql)) else None
    return _USUAL.format(table=reported_table(provider)) if reported_table(provider) in tables else None
