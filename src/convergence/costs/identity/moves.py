"""What a mapping would move: the dollars of each person and team before it and after it. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from convergence.costs.identity.people import ATTRIBUTES, KINDS, IdentityTables, build_attribution, describe_identity
from convergence.costs.report import CostSource, build_costs, describe_costs
from convergence.kit.jsontext import dumps
from convergence.kit.window import Window
from convergence.sql import Parameter, Statement
from convergence.tenancy import OrgScope
from convergence.warehouse import Warehouse

Row = dict[str, Any]

_TEXTS: Final = ("provider", *KINDS, "team", "cost_center")
_DAYS: Final = ("valid_from", "valid_to")
_SPENT: Final = (
    "SELECT usage_date, provider, project, api_key, `user`, currency, SUM(billed_cost) AS billed_cost,"
    " SUM(list_cost) AS list_cost FROM costs GROUP BY 1, 2, 3, 4, 5, 6"
)


@dataclass(frozen=True, slots=True)
class Moves:
    """`rows`: before and after (`from_team`, `team`, ...), with amounts and days; the largest first.

    `totals` has one entry a currency: all billed cost of the days, and how much of it changes hands.
    """

    rows: list[Row]
    totals: list[Row]


async def preview_mapping(
    warehouse: Warehouse, org: OrgScope, window: Window, rows: Iterable[Mapping[str, Any]]
) -> Moves:
    """What `rows` in the place of the organization's mapping would move in these days."""
    moved = await _compare(warehouse, org, window, rows, _MOVES)
    return Moves(moved, await _compare(warehouse, org, window, rows, _TOTALS))


async def find_moved_days(
    warehouse: Warehouse, org: OrgScope, window: Window, rows: Iterable[Mapping[str, Any]]
) -> list[date]:
    """The days of the window in which `rows` would change who spent something, in order."""
    return [row["usage_date"] for row in await _compare(warehouse, org, window, rows, _MOVED_DAYS)]


async def _compare(
    warehouse: Warehouse, org: OrgScope, window: Window, rows: Iterable[Mapping[str, Any]], question: str
) -> list[Row]:
    existing = set(await warehouse.tables(org.dataset))
    sources = await describe_costs(warehouse, org, existing)
    if not sources:
        return []
    identity = await describe_identity(warehouse, org, existing)
    values: dict[str, Parameter] = {
        "start_date": window.start,
        "end_date": window.end,
        "mapping": [dumps(_plain(row)) for row in rows],
    }
    sql = f"WITH {', '.join(_compared(sources, identity))} {question}"
    found: list[Row] = (await warehouse.query(Statement(sql, org.dataset, values))).to_pylist()
    return found


def _compared(sources: Sequence[CostSource], identity: IdentityTables) -> list[str]:
    """CTEs up to `compared`: the cost of each account and day, by whom it is now and by whom it would be."""
    before = ", ".join(f"{name} AS from_{name}" for name in ATTRIBUTES)
    return [
        f"costs AS ({build_costs(sources)})",
        f"spent AS ({_SPENT})",
        *build_attribution("spent", identity, result="held"),
        f"present AS (SELECT * EXCEPT ({', '.join(ATTRIBUTES)}), {before} FROM held)",
        f"proposed AS ({_PROPOSED})",
        *build_attribution("present", identity, result="compared", mapping="proposed"),
    ]


def _plain(row: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(row[name]) for name in (*_TEXTS, *_DAYS) if row.get(name)}


_PROPOSED: Final = "SELECT {} FROM UNNEST(@mapping) AS line".format(
    ", ".join(
        [
            *(f"JSON_VALUE(line, '$.{name}') AS {name}" for name in _TEXTS),
            *(f"CAST(JSON_VALUE(line, '$.{name}') AS DATE) AS {name}" for name in _DAYS),
        ]
    )
)
_CHANGED: Final = "({})".format(" OR ".join(f"from_{name} IS DISTINCT FROM {name}" for name in ATTRIBUTES))
_SIDES: Final = ", ".join([*(f"from_{name}" for name in ATTRIBUTES), *ATTRIBUTES, "currency"])
_MOVES: Final = (
    f"SELECT {_SIDES}, SUM(billed_cost) AS billed_cost, SUM(list_cost) AS list_cost,"
    " MIN(usage_date) AS first_day, MAX(usage_date) AS last_day"
    f" FROM compared WHERE {_CHANGED} GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY billed_cost DESC, list_cost DESC, {_SIDES}"
)
_TOTALS: Final = (
    "SELECT currency, SUM(billed_cost) AS billed_cost,"
    f" SUM(IF({_CHANGED}, billed_cost, NUMERIC '0')) AS moved_cost"
    " FROM compared GROUP BY currency ORDER BY billed_cost DESC, currency"
)
_MOVED_DAYS: Final = f"SELECT DISTINCT usage_date FROM compared WHERE {_CHANGED} ORDER BY usage_date"
