"""Every backend of the warehouse, the same tests. A backend that cannot do something is expected to fail, strictly."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from convergence.catalog.schemas import Column, TableSchema
from convergence.kit.window import Window
from convergence.sql import Statement
from convergence.tenancy import OrgScope, PlatformScope, TableRef
from convergence.warehouse import Claim, Loaded, Warehouse, WriteMode
from convergence.warehouse.arrow import build_arrow_schema
from convergence.warehouse.duckdb import DuckDBWarehouse
from convergence.warehouse.duckdb.walled import ReadLimits

if TYPE_CHECKING:
    from bigquery_emulator import BigQueryEmulator
    from bigquery_project import BigQueryProject

DAY = date(2026, 1, 1)
NEXT = date(2026, 1, 2)
LAST = date(2026, 1, 3)
DAYS = Window.inclusive(DAY, LAST)

USAGE = TableSchema(
    name="usage",
    columns=(
        Column("usage_date", "DATE", "REQUIRED"),
        Column("model", "STRING"),
        Column("tokens", "INT64"),
        Column("amount", "NUMERIC"),
        Column("ingestion_date", "DATE"),
        Column("ingestion_timestamp", "TIMESTAMP"),
        Column("pipeline_logging_id", "STRING"),
    ),
    partition_column="usage_date",
    clustering=("model",),
)
REJECTS = TableSchema(
    name="usage_rejects",
    columns=(
        Column("usage_date", "DATE"),
        Column("reason", "STRING"),
        Column("error_path", "STRING"),
        Column("raw", "JSON"),
        Column("pipeline_logging_id", "STRING"),
    ),
    partition_column="usage_date",
)


@dataclass(frozen=True)
class Backend:
    """How to make one, and the tests it is known to fail: test name -> reason."""

    name: str
    make: Callable[[Path, pytest.FixtureRequest], Warehouse]
    gaps: dict[str, str] = field(default_factory=dict)
    # Gaps that take all time or memory, or that show only when two things meet at the wrong moment: not run.
    unrun: frozenset[str] = frozenset()


def _duckdb(folder: Path, _request: pytest.FixtureRequest) -> Warehouse:
    limits = ReadLimits(seconds=8, memory_limit="256MB", process_bytes=2**29, result_bytes=16 * 2**20)
    return DuckDBWarehouse(folder, read_limits=limits)


def _bigquery(_folder: Path, request: pytest.FixtureRequest) -> Warehouse:
    from convergence.warehouse.bigquery import BigQueryWarehouse, ReadLimits

    limits = ReadLimits(seconds=8, result_bytes=16 * 2**20)
    emulator: BigQueryEmulator | BigQueryProject = request.getfixturevalue("bigquery_emulator")
    return BigQueryWarehouse(emulator.project(), endpoint=emulator.endpoint, read_limits=limits)


_STOPS_NOTHING = "the emulator keeps to no time and no memory; the limits that BigQuery is sent: test_read_wall.py"
_BIGQUERY_GAPS = {
    "test_scalar_round_trip[JSON]": "BigQuery keeps the value of a JSON, not its text: 2.50 comes back as 2.5",
}
_EMULATOR_GAPS = {
    "test_widening_beside_loads_loses_nothing": "the emulator refuses a file without a column that was just added",
    "test_scalar_round_trip[BIGNUMERIC]": "the emulator's engine has no decimals of more than 38 digits",
    "test_result_type[BIGNUMERIC]": "the emulator's engine has no decimals of more than 38 digits",
    r"test_parameters[b'\\x00\\xff']": "the emulator takes a BYTES parameter for its base64 text",
    "test_a_view_is_dropped": "the emulator's tables.delete knows no views",
    "test_the_event_loop_is_never_blocked": "the emulator hashes 300,000 rows one by one, for minutes",
    "test_time_is_limited": _STOPS_NOTHING,
    "test_memory_is_limited": _STOPS_NOTHING,
}
_REAL = "BIGQUERY_TEST_PROJECT" in os.environ


BACKENDS = [
    Backend("duckdb", _duckdb),
    Backend(
        "bigquery",
        _bigquery,
        gaps=_BIGQUERY_GAPS if _REAL else _BIGQUERY_GAPS | _EMULATOR_GAPS,
        unrun=frozenset(
            {
                "test_time_is_limited",
                "test_memory_is_limited",
                "test_the_event_loop_is_never_blocked",
                "test_widening_beside_loads_loses_nothing",
            }
        ),
    ),
]


@pytest.fixture(params=BACKENDS, ids=[backend.name for backend in BACKENDS])
def backend(request: pytest.FixtureRequest) -> Backend:
    chosen: Backend = request.param
    name = request.function.__name__
    case = request.node.name.replace(f"[{chosen.name}-", "[")
    if reason := chosen.gaps.get(name) or chosen.gaps.get(case):
        request.node.add_marker(pytest.mark.xfail(reason=reason, strict=True, run=name not in chosen.unrun))
    return chosen


@pytest.fixture
async def warehouse(backend: Backend, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Warehouse]:
    made = backend.make(tmp_path, request)
    yield made
    await made.close()


@dataclass(frozen=True)
class Bench:
    """An organization's dataset with the tables `usage` and `usage_rejects`, and short words for what tests do."""

    warehouse: Warehouse
    org: OrgScope
    platform: PlatformScope = field(default_factory=PlatformScope)

    @property
    def usage(self) -> TableRef:
        return self.org.table("usage")

    async def table(self, schema: TableSchema) -> TableRef:
        table = self.org.table(schema.name)
        await self.warehouse.ensure(table, schema)
        return table

    async def rows(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        found = await self.warehouse.query(Statement(sql, self.org.dataset, parameters))
        return tuples(found)

    async def read(self, sql: str, max_rows: int = 100, **parameters: Any) -> list[tuple[Any, ...]]:
        return tuples(await self.warehouse.read(Statement(sql, self.org.dataset, parameters), max_rows=max_rows))

    async def execute(self, sql: str, **parameters: Any) -> int:
        return await self.warehouse.execute(Statement(sql, self.org.dataset, parameters))

    async def load(self, *batches: Any, mode: WriteMode = WriteMode.APPEND, **options: Any) -> Loaded:
        table = options.pop("table", self.usage)
        return await self.warehouse.load(table, stream(*batches), mode=mode, **options)

    async def replace(self, *batches: Any, window: Window = DAYS, **options: Any) -> Loaded:
        return await self.load(*batches, mode=WriteMode.REPLACE_WINDOW, window=window, **options)

    async def all(self) -> list[tuple[Any, ...]]:
        return await self.rows("SELECT usage_date, model, tokens, amount FROM usage ORDER BY 1, 2, 3")


@pytest.fixture
async def bench(warehouse: Warehouse) -> Bench:
    made = Bench(warehouse, OrgScope("acme"))
    await warehouse.ensure_dataset(made.org.dataset)
    await warehouse.ensure(made.usage, USAGE)
    await warehouse.ensure(made.usage.rejects, REJECTS)
    return made


def tuples(table: pa.Table) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in table.to_pylist()]


def usage(*rows: tuple[Any, ...], run: str | None = None) -> pa.RecordBatch:
    """Rows of (usage_date, model, tokens, amount as text)."""
    columns = [
        {"usage_date": day, "model": model, "tokens": tokens, "amount": amount and Decimal(amount)}
        | {"pipeline_logging_id": run}
        for day, model, tokens, amount in rows
    ]
    return pa.RecordBatch.from_pylist(columns, schema=build_arrow_schema(USAGE))


def rejects(*rows: tuple[date, str]) -> pa.Table:
    columns = [{"usage_date": day, "reason": reason} for day, reason in rows]
    return pa.Table.from_pylist(columns, schema=build_arrow_schema(REJECTS))


async def stream(*batches: Any) -> AsyncIterator[pa.RecordBatch]:
    """The batches; an exception among them is raised in its place."""
    for batch in batches:
        if isinstance(batch, Exception):
            raise batch
        yield batch


def claim(fence: int = 1, load_id: str = "load-1", run_id: str = "run-1", stream_: str = "openai.usage") -> Claim:
    return Claim(stream_, run_id, fence, load_id, "amount")
