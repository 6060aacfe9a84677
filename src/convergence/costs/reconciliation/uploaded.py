"""Figures of providers that are known by uploaded FOCUS files alone: other clouds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from convergence.costs.focus.build import FILES, TABLE
from convergence.costs.reconciliation.judgement import DayFigures
from convergence.kit.window import Window
from convergence.sql import Statement
from convergence.tenancy import OrgScope
from convergence.warehouse import Warehouse

_HALF_A_MONTH: Final = timedelta(days=14)
_REASONS: Final = ("tax", "credits", "adjustments", "fees", "free_tier", "discounts")
_DAYS: Final = f"""
SELECT x_Provider AS provider, x_UsageDate AS usage_date, BillingPeriodStart AS period_start,
  BillingCurrency AS currency, SUM(BilledCost) AS billed,
  SUM(IF(ChargeCategory = 'Usage', ListCost, 0)) AS listed,
  COUNTIF(ChargeCategory = 'Usage') AS used_rows,
  SUM(IF(ChargeCategory = 'Tax', BilledCost, 0)) AS tax,
  SUM(IF(ChargeCategory = 'Credit', BilledCost, 0)) AS credits,
  SUM(IF(ChargeCategory = 'Adjustment', BilledCost, 0)) AS adjustments,
  SUM(IF(ChargeCategory = 'Purchase', BilledCost, 0)) AS fees,
  SUM(IF(ChargeCategory = 'Usage' AND BilledCost = 0, -ListCost, 0)) AS free_tier,
  SUM(IF(ChargeCategory = 'Usage' AND BilledCost > 0 AND BilledCost < ListCost, BilledCost - ListCost, 0)) AS discounts
FROM {TABLE}
WHERE x_UsageDate >= @start_date AND x_UsageDate < @end_date AND STARTS_WITH(x_DeliveryScope, '{FILES}')
GROUP BY x_Provider, x_UsageDate, BillingPeriodStart, BillingCurrency
ORDER BY x_Provider, x_UsageDate, BillingPeriodStart, BillingCurrency
"""


async def read_uploaded_days(
    warehouse: Warehouse, org: OrgScope, window: Window, tables: Collection[str]
) -> dict[str, dict[str, list[DayFigures]]]:
    """By provider and currency. A row's month is that of its billing period. `tables` are the organization's."""
    found: dict[str, dict[str, list[DayFigures]]] = defaultdict(lambda: defaultdict(list))
    if TABLE not in tables:
        return found
    days = {"start_date": window.start, "end_date": window.end}
    for row in (await warehouse.query(Statement(_DAYS, org.dataset, days))).to_pylist():
        found[row["provider"]][row["currency"]].append(_day(row))
    return found


def _day(row: Mapping[str, Any]) -> DayFigures:
    start: datetime = row["period_start"]
    return DayFigures(
        row["usage_date"],
        (start + _HALF_A_MONTH).date().replace(day=1),
        listed=row["listed"],
        is_used=bool(row["used_rows"]),
        reported=row["billed"],
        reasons={reason: row[reason] for reason in _REASONS if row[reason]},
    )
