"""What no team pays for yet: keys, accounts and projects by the dollars that wait for a mapping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from convergence.costs.identity.people import IdentityTables, build_attribution, describe_identity
from convergence.costs.report import CostSource, build_costs, describe_costs
from convergence.kit.window import Window
from convergence.sql import Statement
from convergence.tenancy import OrgScope
from convergence.warehouse import Warehouse

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Unmapped:
    """`rows`: accounts without a team, the most expensive first; a null account is cost that names none.

    `totals` has one entry a currency: all billed cost of the days, and how much of it has no team.
    """

    rows: list[Row]
    totals: list[Row]


async def read_unmapped(warehouse: Warehouse, org: OrgScope, window: Window, *, limit: int = 1000) -> Unmapped:
    """What has no team in these days."""
    existing = set(await warehouse.tables(org.dataset))
    sources = await describe_costs(warehouse, org, existing)
    if not sources:
        return Unmapped([], [])
    identity = await describe_identity(warehouse, org, existing)
    shared = f"WITH {', '.join(_attributed(sources, identity))}"
    days = {"start_date": window.start, "end_date": window.end}
    names = f"key_names AS ({_NAMES.format(keys=identity.select('dim_api_keys'))})"
    rows = await warehouse.query(Statement(f"{shared}, {names} {_QUEUE}", org.dataset, {**days, "limit": limit}))
    totals = await warehouse.query(Statement(f"{shared} {_TOTALS}", org.dataset, days))
    return Unmapped(rows.to_pylist(), totals.to_pylist())


def _attributed(sources: Sequence[CostSource], identity: IdentityTables) -> list[str]:
    return [f"costs AS ({build_costs(sources)})", *build_attribution("costs", identity)]


_NAMES: Final = (
    "SELECT provider, api_key_id, MIN(name) AS name FROM ({keys}) AS k WHERE valid_to IS NULL"
    " GROUP BY provider, api_key_id"
)
_KIND: Final = (
    "CASE WHEN api_key IS NOT NULL THEN 'api_key_id' WHEN `user` IS NOT NULL THEN 'user_id'"
    " WHEN project IS NOT NULL THEN 'project_id' END"
)
_QUEUE: Final = f"""
SELECT w.provider, w.kind, w.account, n.name, w.person, w.project, w.first_day, w.last_day, w.currency,
  w.billed_cost, w.list_cost
FROM (
  SELECT provider, {_KIND} AS kind, COALESCE(api_key, `user`, project) AS account, MIN(person) AS person,
    MIN(project) AS project, MIN(usage_date) AS first_day, MAX(usage_date) AS last_day, currency,
    SUM(billed_cost) AS billed_cost, SUM(list_cost) AS list_cost
  FROM attributed WHERE team IS NULL GROUP BY provider, kind, account, currency
) AS w
LEFT JOIN key_names AS n ON n.provider = w.provider AND n.api_key_id = w.account AND w.kind = 'api_key_id'
ORDER BY w.billed_cost DESC, w.list_cost DESC, w.provider, w.kind, w.account, w.currency
LIMIT @limit
"""
_TOTALS: Final = (
    "SELECT currency, SUM(billed_cost) AS billed_cost,"
    " SUM(IF(team IS NULL, billed_cost, NUMERIC '0')) AS unmapped_cost"
    " FROM attributed GROUP BY currency ORDER BY billed_cost DESC, currency"
)
