"""Days that were never loaded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from convergence.kit.window import Window
from convergence.sql import Statement
from convergence.tenancy import OrgScope
from convergence.warehouse import Warehouse

_LEDGER: Final = "_load_scopes"


@dataclass(frozen=True, slots=True)
class Gap:
    """A stream and the days of the window that it has not loaded; a day without usage is loaded."""

    stream: str
    missing: tuple[date, ...]


async def find_gaps(warehouse: Warehouse, org: OrgScope, window: Window) -> list[Gap]:
    """One entry for every stream the organization has ever loaded, also where nothing is missing."""
    if not await warehouse.tables(org.dataset):
        return []
    # A table without days is one scope, of the first day there is: nothing of it can be missing.
    sql = f"SELECT DISTINCT stream FROM {_LEDGER} WHERE day > DATE '0001-01-01' ORDER BY stream"
    streams = await warehouse.query(Statement(sql, org.dataset))
    return [await _find_gap(warehouse, org, row["stream"], window) for row in streams.to_pylist()]


async def _find_gap(warehouse: Warehouse, org: OrgScope, stream: str, window: Window) -> Gap:
    loaded = {scope.day for scope in await warehouse.scopes(org.dataset, stream, window)}
    return Gap(stream, tuple(day for day in window.days() if day not in loaded))
