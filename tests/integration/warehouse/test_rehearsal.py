"""Loads that are held until they are performed, over a real DuckDB file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from convergence.catalog.schemas import Column, TableSchema
from convergence.errors import LeaseLost, UnsupportedError
from convergence.kit.window import Window
from convergence.sql import Statement
from convergence.tenancy import OrgScope
from convergence.warehouse import Claim, WriteMode
from convergence.warehouse.duckdb import DuckDBWarehouse
from convergence.warehouse.rehearsal import Rehearsal

DAY = date(2026, 11, 1)
ORG = OrgScope("acme")
TABLE = ORG.table("held")
SCHEMA = TableSchema("held", (Column("day", "DATE"), Column("amount", "INT64")), partition_column="day")
COUNT = Statement("SELECT COUNT(*) AS rows_there FROM held", ORG.dataset)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[DuckDBWarehouse]:
    warehouse = DuckDBWarehouse(tmp_path)
    await warehouse.ensure_dataset(ORG.dataset)
    await warehouse.ensure(TABLE, SCHEMA)
    yield warehouse
    await warehouse.close()


async def _hold(rehearsal: Rehearsal, fence: int) -> None:
    async def batches() -> AsyncIterator[pa.RecordBatch]:
        yield pa.record_batch({"day": pa.array([DAY], pa.date32()), "amount": pa.array([1], pa.int64())})

    claim = Claim("held", "run", fence, f"load-{fence}")
    await rehearsal.load(TABLE, batches(), mode=WriteMode.REPLACE_WINDOW, window=Window.day(DAY), claim=claim)


async def _count(warehouse: DuckDBWarehouse | Rehearsal) -> int:
    count: int = (await warehouse.query(COUNT)).to_pylist()[0]["rows_there"]
    return count


async def test_nothing_is_there_until_it_is_performed(stage: DuckDBWarehouse) -> None:
    rehearsal = Rehearsal(stage)
    await _hold(rehearsal, 1)
    held = await _count(rehearsal)
    (loaded,) = await rehearsal.perform()

    assert (held, await _count(stage), loaded.days_replaced) == (0, 1, (DAY,))


async def test_a_held_load_is_refused_when_a_newer_fence_has_published(stage: DuckDBWarehouse) -> None:
    late, newer = Rehearsal(stage), Rehearsal(stage)
    await _hold(late, 1)
    await _hold(newer, 2)
    await newer.perform()

    with pytest.raises(LeaseLost):
        await late.perform()


async def test_what_cannot_be_held_is_refused(stage: DuckDBWarehouse) -> None:
    rehearsal = Rehearsal(stage)
    for refused in (
        rehearsal.execute(Statement("DELETE FROM held WHERE TRUE", ORG.dataset)),
        rehearsal.drop(TABLE),
        rehearsal.drop_dataset(ORG.dataset),
        rehearsal.ensure_view(ORG.table("seen"), COUNT),
    ):
        with pytest.raises(UnsupportedError):
            await refused

    assert await _count(stage) == 0
