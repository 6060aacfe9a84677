from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from convergence.catalog.schemas import Column, TableSchema
from convergence.tenancy import OrgScope
from convergence.warehouse.duckdb import DuckDBWarehouse

ORG = OrgScope("acme")
USAGE = ORG.table("usage")
DAY = date(2026, 1, 1)
SCHEMA = TableSchema("usage", (Column("day", "DATE"), Column("n", "INT64")), partition_column="day")


def batch(*numbers: int, day: date = DAY) -> pa.RecordBatch:
    return pa.record_batch({"day": pa.array([day] * len(numbers), pa.date32()), "n": pa.array(numbers, pa.int64())})


async def stream(*batches: pa.RecordBatch) -> AsyncIterator[pa.RecordBatch]:
    for item in batches:
        yield item


@pytest.fixture
async def warehouse(tmp_path: Path) -> AsyncIterator[DuckDBWarehouse]:
    made = DuckDBWarehouse(tmp_path)
    await made.ensure_dataset(ORG.dataset)
    await made.ensure(USAGE, SCHEMA)
    yield made
    await made.close()
