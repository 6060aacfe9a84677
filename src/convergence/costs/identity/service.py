"""The identity mapping of an organization: who belongs to which team, and whose key is whose; dated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from convergence.costs.identity.mapping import Cells, MappingFault, MappingReading, read_mapping
from convergence.costs.identity.people import KINDS
from convergence.costs.records import RecordTable
from convergence.costs.report import known_providers
from convergence.errors import InvalidRequest
from convergence.kit.jsontext import dumps
from convergence.tenancy import OrgScope
from convergence.warehouse import Claim, Warehouse

if TYPE_CHECKING:
    from convergence.catalog import Catalog

TABLE: Final = "identity_mapping"
STREAM: Final = "identity.mapping"
_KEYS: Final = ("provider", *KINDS, "valid_from")
_REJECTS: Final = "identity_mapping_rejects"
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class MappingLoad:
    """What came of a load. `changed` is false where the mapping was the same already: nothing was written."""

    rows: int
    faults: list[MappingFault]
    changed: bool


@dataclass(frozen=True, slots=True)
class IdentityMapping:
    """One organization's mapping: one list, whole; the last one that was loaded holds."""

    warehouse: Warehouse
    catalog: Catalog
    org: OrgScope

    async def read(self, cells: Cells, source: str) -> MappingReading:
        """What a sheet or file says. Writes nothing.

        Raises:
            InvalidRequest: as `read_mapping`.
        """
        existing = await self.warehouse.tables(self.org.dataset)
        return read_mapping(cells, source=source, providers=known_providers(existing))

    async def rows(self) -> list[Row]:
        """The mapping, by provider and account; empty where none was loaded."""
        return await self._stored(self._table(TABLE, _KEYS))

    async def faults(self) -> list[Row]:
        """What was left out of the last sheet or file that was read, in order of its lines."""
        return await self._stored(self._table(_REJECTS, ("line", "reason")))

    async def check(self, reading: MappingReading, source: str, now: datetime) -> None:
        """Refuse what looks cleared or broken, and keep its faults for the organization to see.

        Raises:
            InvalidRequest: it does.
        """
        try:
            reading.check()
        except InvalidRequest:
            await self._keep_faults(reading, source, now)
            raise

    async def load(
        self, reading: MappingReading, source: str, now: datetime, *, claim: Claim | None = None
    ) -> MappingLoad:
        """Make it the whole mapping. What was left out is kept beside it, for the organization to see.

        Raises:
            InvalidRequest: as `check`; the last good mapping stays.
            LeaseLost: a newer run has loaded one.
        """
        await self.check(reading, source, now)
        changed = await self._replace(reading.rows, claim)
        await self._keep_faults(reading, source, now)  # after the rows: replacing a table clears what it rejected
        return MappingLoad(len(reading.rows), reading.faults, changed)

    async def _replace(self, rows: list[Row], claim: Claim | None) -> bool:
        table = self._table(TABLE, _KEYS)
        await table.ensure()
        names = [column.name for column in table.schema.columns]
        if _canonical(rows, names) == _canonical(await table.rows(), names):
            return False
        await table.replace(rows, claim=claim)
        return True

    async def _keep_faults(self, reading: MappingReading, source: str, now: datetime) -> None:
        table = self._table(_REJECTS, ("line", "reason"))
        await table.ensure()
        rows = [_reject(fault, source, now) for fault in reading.faults]
        names = [column.name for column in table.schema.columns if column.name != "ingestion_timestamp"]
        if _canonical(rows, names) != _canonical(await table.rows(), names):
            await table.replace(rows)

    async def _stored(self, table: RecordTable) -> list[Row]:
        if table.schema.name not in await self.warehouse.tables(self.org.dataset):
            return []
        await table.ensure()  # a table of an earlier version has fewer columns
        return await table.rows()

    def _table(self, name: str, keys: tuple[str, ...]) -> RecordTable:
        return RecordTable.of(self.warehouse, self.catalog, self.org, name, keys)


async def replace_identity_mapping(
    warehouse: Warehouse, catalog: Catalog, org: OrgScope, rows: Iterable[Mapping[str, Any]]
) -> None:
    """Make these rows (person, team, cost_center, valid_from, valid_to) the organization's whole mapping."""
    table = RecordTable.of(warehouse, catalog, org, TABLE, _KEYS)
    await table.ensure()
    await table.replace([{**row, "person": row["person"].lower()} for row in rows])


def _reject(fault: MappingFault, source: str, now: datetime) -> Row:
    return {
        "line": fault.line,
        "reason": fault.reason,
        "error_path": fault.column,
        "raw": dumps(fault.raw),
        "source": source,
        "ingestion_timestamp": now,
    }


def _canonical(rows: Iterable[Mapping[str, Any]], names: Iterable[str]) -> list[str]:
    return sorted(repr([row.get(name) for name in names]) for row in rows)
