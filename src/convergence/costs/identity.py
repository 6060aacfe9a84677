"""Who belongs to which team, dated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from convergence.costs.records import RecordTable
from convergence.tenancy import OrgScope
from convergence.warehouse import Warehouse

if TYPE_CHECKING:
    from convergence.catalog import Catalog


async def replace_identity_mapping(
    warehouse: Warehouse, catalog: Catalog, org: OrgScope, rows: Iterable[Mapping[str, Any]]
) -> None:
    """Make these rows (person, team, cost_center, valid_from, valid_to) the organization's whole mapping."""
    table = RecordTable.of(warehouse, catalog, org, "identity_mapping", ("person", "valid_from"))
    await table.ensure()
    await table.replace([{**row, "person": row["person"].lower()} for row in rows])
