"""Small tables that people edit: read whole, changed row by row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convergence.catalog.schemas import TableSchema
from convergence.sql import Statement
from convergence.tenancy import OrgScope
from convergence.warehouse import Claim, Warehouse, WriteMode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pyarrow as pa

    from convergence.catalog import Catalog


@dataclass(frozen=True, slots=True)
class RecordTable:
    """One table of one organization. `keys` tell its rows apart; NULL equals NULL."""

    warehouse: Warehouse
    org: OrgScope
    schema: TableSchema
    keys: tuple[str, ...]

    @classmethod
    def of(cls, warehouse: Warehouse, catalog: Catalog, org: OrgScope, name: str, keys: Sequence[str]) -> RecordTable:
        return cls(warehouse, org, catalog.schema(name), tuple(keys))

    async def ensure(self) -> bool:
        """Create or widen the table; whether it was missing."""
        change = await self.warehouse.ensure(self.org.table(self.schema.name), self.schema)
        return change.created

    async def rows(self) -> list[dict[str, Any]]:
        """All rows, in order of their keys."""
        names = ", ".join(column.name for column in self.schema.columns)
        sql = f"SELECT {names} FROM {self.schema.name} ORDER BY {', '.join(self.keys)}"
        found: list[dict[str, Any]] = (await self.warehouse.query(Statement(sql, self.org.dataset))).to_pylist()
        return found

    async def put(self, rows: Iterable[Mapping[str, Any]], *, claim: Claim | None = None) -> None:
        """Write rows over those with the same keys.

        Raises:
            LeaseLost: the claim's fence is older than one that has written.
        """
        await self._load(rows, WriteMode.MERGE, self.keys, claim)

    async def replace(self, rows: Iterable[Mapping[str, Any]], *, claim: Claim | None = None) -> None:
        """Write these rows and no others.

        Raises:
            LeaseLost: as `put`.
        """
        await self._load(rows, WriteMode.OVERWRITE, (), claim)

    async def remove(self, row: Mapping[str, Any]) -> None:
        """Delete the row with these keys, where there is one."""
        wanted = " AND ".join(f"{key} IS NULL" if row[key] is None else f"{key} = @{key}" for key in self.keys)
        values = {key: row[key] for key in self.keys if row[key] is not None}
        await self.warehouse.execute(
            Statement(f"DELETE FROM {self.schema.name} WHERE {wanted}", self.org.dataset, values)
        )

    async def _load(
        self, rows: Iterable[Mapping[str, Any]], mode: WriteMode, keys: Sequence[str], claim: Claim | None = None
    ) -> None:
        batches = _batches(list(rows), self.schema)
        await self.warehouse.load(self.org.table(self.schema.name), batches, mode=mode, keys=keys, claim=claim)


async def _batches(rows: list[Mapping[str, Any]], schema: TableSchema) -> AsyncIterator[pa.RecordBatch]:
    import pyarrow as pa

    from convergence.warehouse.arrow import build_arrow_schema

    for batch in pa.Table.from_pylist(rows, schema=build_arrow_schema(schema)).to_batches():
        yield batch
