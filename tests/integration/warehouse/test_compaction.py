"""Deleted bytes are gone from the disk; nothing else is, whoever writes and whenever the process dies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest

from convergence.catalog.schemas import Column, TableSchema
from convergence.sql import Statement
from convergence.tenancy import OrgScope, PlatformScope
from convergence.warehouse import Compactable, WriteMode, erasing
from convergence.warehouse.duckdb import DuckDBWarehouse
from convergence.warehouse.duckdb.compaction import copy_path, owed_mark

from .conftest import ORG, SCHEMA, USAGE, batch, stream
from .test_files import COUNT, first_line, start, stop

SECRET = "v1.sealed-CANARY-" + "0123456789abcdef" * 40
SEALED = TableSchema("sealed", (Column("owner", "STRING"), Column("ciphertext", "STRING")))
DELETE = Statement("DELETE FROM sealed WHERE owner = 'acme'", ORG.dataset)
OWNERS = Statement("SELECT owner FROM sealed ORDER BY owner", ORG.dataset)

ERASER = """
import asyncio, sys
from pathlib import Path
import pyarrow as pa
from convergence.tenancy import OrgScope
from convergence.warehouse import WriteMode
from convergence.warehouse.duckdb import DuckDBWarehouse

ORG = OrgScope("acme")

async def rows(turn):
    yield pa.record_batch({"day": pa.array([None], pa.date32()), "n": pa.array([turn], pa.int64())})

async def write(warehouse, first):
    for turn in range(first, first + 100_000):
        await warehouse.load(ORG.table("usage"), rows(turn), mode=WriteMode.APPEND)
        print(turn, flush=True)

async def compact(warehouse):
    while True:
        async with warehouse.erasing(ORG.dataset):
            await asyncio.sleep(0)

async def main():
    warehouse = DuckDBWarehouse(Path(sys.argv[1]))
    await asyncio.gather(write(warehouse, int(sys.argv[2])), compact(warehouse))

asyncio.run(main())
"""


def found_in(folder: Path, text: str = SECRET) -> set[str]:
    """Files below the folder that hold the text, read only while no warehouse has them open."""
    needle = text[:48].encode()
    return {path.name for path in folder.rglob("*") if path.is_file() and needle in path.read_bytes()}


async def store(warehouse: DuckDBWarehouse, owner: str, ciphertext: str = SECRET) -> None:
    table = ORG.table("sealed")
    await warehouse.ensure(table, SEALED)
    rows = pa.record_batch({"owner": [owner], "ciphertext": [ciphertext]})
    await warehouse.load(table, stream(rows), mode=WriteMode.MERGE, keys=("owner",))


def test_the_embedded_warehouse_can_be_asked(tmp_path: Path) -> None:
    assert isinstance(DuckDBWarehouse(tmp_path), Compactable)


async def test_without_compaction_a_deleted_row_stays_on_the_disk(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    await store(warehouse, "acme")
    await warehouse.read(OWNERS, max_rows=1)
    await warehouse.execute(DELETE)
    await warehouse.close()

    assert found_in(tmp_path) == {"acme_dev.duckdb"}


async def test_what_is_deleted_while_erasing_is_in_no_file(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    await store(warehouse, "acme")
    await store(warehouse, "globex", "v1.kept")
    await warehouse.load(USAGE, stream(batch(1, 2)), mode=WriteMode.APPEND)
    await warehouse.read(OWNERS, max_rows=1)
    async with erasing(warehouse, ORG.dataset):
        await warehouse.execute(DELETE)
    left = await warehouse.query(OWNERS)
    counted = await warehouse.query(COUNT)
    await warehouse.close()

    assert found_in(tmp_path) == set()
    assert left.to_pylist() == [{"owner": "globex"}]
    assert counted.to_pylist() == [{"n": 2, "total": 3}]


async def test_what_is_replaced_while_erasing_is_in_no_file(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    await store(warehouse, "acme")
    async with erasing(warehouse, ORG.dataset):
        await store(warehouse, "acme", "v2.sealed-anew")
    await warehouse.close()

    assert found_in(tmp_path) == set()
    assert found_in(tmp_path, "v2.sealed-anew") == {"acme_dev.duckdb"}


async def test_a_deleted_row_is_in_no_copy_that_another_dataset_reads(
    warehouse: DuckDBWarehouse, tmp_path: Path
) -> None:
    other = OrgScope("globex")
    await store(warehouse, "acme")
    await warehouse.ensure_dataset(other.dataset)
    across = Statement("SELECT ciphertext FROM sealed", other.dataset, tables={"sealed": ORG.table("sealed")})
    await warehouse.ensure_view(other.table("across"), across)
    await warehouse.read(Statement("SELECT * FROM across", other.dataset), max_rows=1)
    async with erasing(warehouse, ORG.dataset):
        await warehouse.execute(DELETE)
    await warehouse.close()

    assert found_in(tmp_path) == set()


async def test_tables_views_keys_and_functions_survive(warehouse: DuckDBWarehouse) -> None:
    view = Statement("SELECT n / 4 AS quarter, CAST(n AS NUMERIC) / 3 AS third FROM usage", ORG.dataset)
    await warehouse.ensure_view(ORG.table("parts"), view)
    await warehouse.load(USAGE, stream(batch(1, 2)), mode=WriteMode.APPEND)

    await warehouse.compact(ORG.dataset)

    parts = Statement("SELECT SUM(quarter) AS q, CAST(SUM(third) AS STRING) AS t FROM parts", ORG.dataset)
    assert (await warehouse.query(parts)).to_pylist() == [{"q": 0.75, "t": "1"}]
    assert (await warehouse.read(parts, max_rows=1)).to_pylist() == [{"q": 0.75, "t": "1"}]
    assert await warehouse.ensure_view(ORG.table("parts"), view) is False
    assert await warehouse.tables(ORG.dataset) == ["parts", "usage"]


async def test_a_file_that_lost_many_rows_shrinks(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    path = tmp_path / "warehouse" / "acme_dev.duckdb"
    await warehouse.load(
        USAGE, stream(batch(*(number * 7919 % 1_000_003 for number in range(400_000)))), mode=WriteMode.APPEND
    )
    await warehouse.compact(ORG.dataset)
    before = path.stat().st_size
    await warehouse.execute(Statement("DELETE FROM usage WHERE TRUE", ORG.dataset))

    await warehouse.compact(ORG.dataset)

    assert path.stat().st_size < before * 0.7


async def test_writers_and_readers_at_the_same_time_lose_nothing(warehouse: DuckDBWarehouse) -> None:
    async def write(first: int) -> None:
        for number in range(first, first + 20):
            await warehouse.load(USAGE, stream(batch(number)), mode=WriteMode.APPEND)

    async def look() -> int:
        counts = [(await warehouse.query(COUNT)).to_pylist()[0]["n"] for _ in range(40)]
        return sum(later < earlier for earlier, later in pairwise(counts))

    async def compact() -> int:
        for _ in range(8):
            await warehouse.compact(ORG.dataset)
        return 0

    results = await asyncio.gather(*(write(first) for first in (0, 100, 200)), look(), compact())

    found = (await warehouse.query(COUNT)).to_pylist()
    assert found == [{"n": 60, "total": sum(first * 20 + 190 for first in (0, 100, 200))}]
    assert results[3] == 0


async def test_two_that_erase_at_once_both_leave_nothing(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    for owner in ("acme", "globex"):
        await store(warehouse, owner)

    async def erase(owner: str) -> None:
        async with erasing(warehouse, ORG.dataset):
            await warehouse.execute(Statement(f"DELETE FROM sealed WHERE owner = '{owner}'", ORG.dataset))

    await asyncio.gather(erase("acme"), erase("globex"))
    owed = owed_mark(tmp_path / "warehouse" / "acme_dev.duckdb").exists()
    await warehouse.close()

    assert (found_in(tmp_path), owed) == (set(), False)


async def test_a_compaction_that_a_crash_kept_off_is_done_at_the_next_opening(
    warehouse: DuckDBWarehouse, tmp_path: Path
) -> None:
    path = tmp_path / "warehouse" / "acme_dev.duckdb"
    await store(warehouse, "acme")
    await warehouse.execute(DELETE)
    await warehouse.close()
    owed_mark(path).touch()
    copy_path(path).write_bytes(b"half a copy")

    again = DuckDBWarehouse(tmp_path)
    left = (await again.query(OWNERS)).to_pylist()
    await again.close()

    assert (left, found_in(tmp_path)) == ([], set())
    assert sorted(file.name for file in path.parent.glob("acme_dev*")) == ["acme_dev.duckdb"]


async def test_an_erasure_without_room_keeps_the_data_and_stays_owed(
    warehouse: DuckDBWarehouse, tmp_path: Path
) -> None:
    path = tmp_path / "warehouse" / "acme_dev.duckdb"
    await warehouse.load(USAGE, stream(batch(1, 2)), mode=WriteMode.APPEND)
    copy_path(path).mkdir()  # no file can be written there

    async with erasing(warehouse, ORG.dataset):
        await warehouse.execute(Statement("DELETE FROM usage WHERE n = 1", ORG.dataset))

    assert (await warehouse.query(COUNT)).to_pylist() == [{"n": 1, "total": 2}]
    assert owed_mark(path).exists()


@pytest.fixture
def moments() -> Iterator[float]:
    """Seconds after the start, spread so that kills meet every part of a compaction."""
    return iter([0.017 * number for number in range(1, 9)])


@pytest.mark.slow
async def test_kills_in_the_middle_leave_a_file_with_every_commit(tmp_path: Path, moments: Iterator[float]) -> None:
    made = DuckDBWarehouse(tmp_path)
    await made.ensure_dataset(ORG.dataset)
    await made.ensure(USAGE, SCHEMA)
    await made.close()
    acknowledged = 0

    for moment in moments:
        process = start(ERASER, tmp_path, acknowledged)
        first_line(process)
        time.sleep(moment)  # noqa: ASYNC251 - the other process runs meanwhile
        stop(process)
        again = DuckDBWarehouse(tmp_path)
        found = (await again.query(COUNT)).to_pylist()[0]
        await again.close()
        assert found["n"] > acknowledged
        assert found["total"] == sum(range(found["n"]))
        acknowledged = found["n"]


async def test_the_platform_dataset_is_one_like_the_others(warehouse: DuckDBWarehouse) -> None:
    platform = PlatformScope()
    await warehouse.ensure_dataset(platform.dataset)

    await warehouse.compact(platform.dataset)

    assert await warehouse.tables(platform.dataset) == []
