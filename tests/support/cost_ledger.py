"""An organization with costs that a test states row by row."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from convergence.catalog import Catalog
from convergence.catalog.schemas import TableSchema
from convergence.costs.identity.mapping import read_records
from convergence.costs.identity.service import IdentityMapping, MappingLoad
from convergence.costs.report import read_costs
from convergence.kit.window import Window
from convergence.tenancy import OrgScope
from convergence.warehouse import Warehouse, WriteMode
from convergence.warehouse.arrow import build_arrow_schema

CONFIGS: Final = Path(__file__).parents[2] / "configs"
NOW: Final = datetime(2026, 11, 20, 12, tzinfo=UTC)
FIRST: Final = date(2026, 11, 1)
DAYS: Final = Window(FIRST, date(2026, 11, 11))
_FILLED: Final[dict[str, Any]] = {
    "STRING": "-",
    "NUMERIC": Decimal(0),
    "BOOL": True,
    "DATE": FIRST,
    "TIMESTAMP": NOW,
    "INT64": 0,
}

ADA: Final = "ada@example.com"
BOB: Final = "bob@example.com"
KEYS: Final[list[dict[str, Any]]] = [
    {"provider": "openai", "api_key_id": "key_1", "name": "Prod", "masked_key": "sk-...aaaa", "person": ADA},
    {"provider": "openai", "api_key_id": "key_2", "name": "Batch", "owner_id": "user_2"},
]
PEOPLE: Final[list[dict[str, Any]]] = [{"provider": "openai", "user_id": "user_1", "person": ADA, "type": "user"}]


@dataclass
class Ledger:
    """One organization in any warehouse."""

    warehouse: Warehouse
    catalog: Catalog
    org: OrgScope

    @property
    def mapping(self) -> IdentityMapping:
        return IdentityMapping(self.warehouse, self.catalog, self.org)

    async def write(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """These rows in the place of all others; what is required and not given has some value."""
        schema, ref = self.catalog.schema(table), self.org.table(table)
        await self.warehouse.ensure(ref, schema)
        given = pa.Table.from_pylist([_fill(schema, row) for row in rows], schema=build_arrow_schema(schema))

        async def batches() -> AsyncIterator[pa.RecordBatch]:
            for batch in given.to_batches():
                yield batch

        await self.warehouse.load(ref, batches(), mode=WriteMode.OVERWRITE)

    async def map(self, *records: Mapping[str, Any], source: str = "api") -> MappingLoad:
        reading = await self.mapping.read(read_records(records), source)
        return await self.mapping.load(reading, source, NOW)

    async def by(self, *keys: str, window: Window = DAYS) -> dict[Any, Decimal]:
        """Billed cost of each group."""
        report = await read_costs(self.warehouse, self.org, window, granularity="total", group_by=keys)
        return {
            row[keys[0]] if len(keys) == 1 else tuple(row[k] for k in keys): row["billed_cost"] for row in report.rows
        }


async def spend(ledger: Ledger) -> None:
    """Ada spends 1 and 2 by the key of hers, a machine 4, Bob 16 at Cursor; 8 are nobody's."""
    await ledger.write(
        "openai_cost_daily",
        [
            cost(1, "1", api_key_id="key_1", user_id="user_1", project_id="proj_1"),
            cost(2, "2", api_key_id="key_1", user_id="user_1", project_id="proj_1"),
            cost(3, "4", api_key_id="key_2", project_id="proj_1"),
            cost(3, "8"),
        ],
    )
    await ledger.write("cursor_cost_daily", [cost(1, "16", user_email=BOB, is_chargeable=True)])
    await ledger.write("dim_api_keys", KEYS)
    await ledger.write("dim_people", PEOPLE)


def cost(day: int, amount: str, **dimensions: Any) -> dict[str, Any]:
    """A row of a cost table in November 2026."""
    return {
        "usage_date": date(2026, 11, day),
        "billed_cost": Decimal(amount),
        "list_cost": Decimal(amount),
        "currency": "USD",
        **dimensions,
    }


def _fill(schema: TableSchema, row: Mapping[str, Any]) -> dict[str, Any]:
    required = {column.name: _FILLED[column.type] for column in schema.columns if column.mode == "REQUIRED"}
    return {**required, **row}
