"""What holds for the files on the disk: locks, links, kills, copies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from convergence.errors import StatementFailed, WarehouseBusy
from convergence.kit.window import Window
from convergence.sql import Statement
from convergence.tenancy import OrgScope
from convergence.warehouse import Claim, WriteMode
from convergence.warehouse.duckdb import DuckDBWarehouse

from .conftest import DAY, ORG, SCHEMA, USAGE, batch, stream

COUNT = Statement("SELECT COUNT(*) AS n, SUM(n) AS total FROM usage", ORG.dataset)

HOLDER = """
import asyncio, sys
from pathlib import Path
from convergence.warehouse.duckdb import DuckDBWarehouse

async def main():
    warehouse = DuckDBWarehouse(Path(sys.argv[1]))
    await warehouse.open()
    print("open", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""

LOADER = """
import asyncio, sys
from datetime import date, timedelta
from pathlib import Path
import pyarrow as pa
from convergence.kit.window import Window
from convergence.tenancy import OrgScope
from convergence.warehouse import Claim, WriteMode
from convergence.warehouse.duckdb import DuckDBWarehouse

async def one(batch):
    yield batch

async def main():
    warehouse, table = DuckDBWarehouse(Path(sys.argv[1])), OrgScope("acme").table("usage")
    fence = int(sys.argv[2])
    for turn in range(1000):
        day = date(2026, 1, 1) + timedelta(days=turn % 5)
        rows = pa.record_batch({"day": pa.array([day] * 500, pa.date32()), "n": pa.array([turn] * 500, pa.int64())})
        claim = Claim("s", "run", fence, f"load-{turn}")
        await warehouse.load(table, one(rows), mode=WriteMode.REPLACE_WINDOW, window=Window.day(day), claim=claim)
        print(turn, flush=True)

asyncio.run(main())
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def test_making_one_opens_nothing(tmp_path: Path) -> None:
    await DuckDBWarehouse(tmp_path / "data").close()

    assert not (tmp_path / "data").exists()


async def test_a_second_process_is_told_who_holds_it(tmp_path: Path) -> None:
    holder = start(HOLDER, tmp_path)
    try:
        assert first_line(holder) == "open"
        warehouse = DuckDBWarehouse(tmp_path)

        with pytest.raises(WarehouseBusy, match=f"open in process {holder.pid}") as caught:
            await warehouse.open()
        await warehouse.close()
    finally:
        stop(holder)

    assert "--server URL" in (caught.value.hint or "")


async def test_the_lock_is_free_after_a_kill(tmp_path: Path) -> None:
    holder = start(HOLDER, tmp_path)
    first_line(holder)
    stop(holder)

    warehouse = DuckDBWarehouse(tmp_path)
    await warehouse.open()
    await warehouse.close()


async def test_a_second_warehouse_of_this_process_is_refused(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    second = DuckDBWarehouse(tmp_path)

    with pytest.raises(WarehouseBusy, match=str(os.getpid())):
        await second.open()


async def test_closing_gives_the_directory_back(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    await warehouse.load(USAGE, stream(batch(1, 2)), mode=WriteMode.APPEND)
    await warehouse.close()
    second = DuckDBWarehouse(tmp_path)

    found = await second.query(COUNT)
    await second.close()

    assert found.to_pylist() == [{"n": 2, "total": 3}]


async def test_a_stray_process_cannot_open_a_live_file(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    await warehouse.load(USAGE, stream(batch(1)), mode=WriteMode.APPEND)
    path = tmp_path / "warehouse" / "acme_dev.duckdb"
    code = f"import duckdb; duckdb.connect({str(path)!r}, read_only=True)"

    stray = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "Conflicting lock" in stray.stderr or "Could not set lock" in stray.stderr


async def test_the_readers_copy_can_be_opened_while_the_warehouse_runs(
    warehouse: DuckDBWarehouse, tmp_path: Path
) -> None:
    await warehouse.load(USAGE, stream(batch(1, 2)), mode=WriteMode.APPEND)
    view = Statement("SELECT n / 2 AS half, CAST(n AS NUMERIC) / 3 AS third FROM usage", ORG.dataset)
    await warehouse.ensure_view(ORG.table("halves"), view)
    await warehouse.read(COUNT, max_rows=1)
    path = tmp_path / "readers" / "acme_dev.duckdb"
    code = (
        f"import duckdb; c = duckdb.connect({str(path)!r}, read_only=True);"
        "print(c.sql('SELECT sum(half), sum(third) FROM halves').fetchall(), c.sql('SHOW TABLES').fetchall())"
    )

    tool = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert tool.stdout.strip() == "[(1.5, Decimal('1.000000000'))] [('halves',), ('usage',)]"


async def test_a_hard_link_is_refused(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    await warehouse.query(COUNT)
    folder = tmp_path / "warehouse"
    os.link(folder / "acme_dev.duckdb", folder / "alias_dev.duckdb")
    alias = Statement("SELECT * FROM usage", OrgScope("alias").dataset)

    with pytest.raises(StatementFailed, match="second name"):
        await warehouse.query(alias)


async def test_a_symbolic_link_is_refused(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    folder = tmp_path / "warehouse"
    (folder / "alias_dev.duckdb").symlink_to(folder / "acme_dev.duckdb")
    alias = Statement("SELECT * FROM usage", OrgScope("alias").dataset)

    with pytest.raises(StatementFailed, match="second name"):
        await warehouse.query(alias)


@pytest.mark.parametrize("acknowledged", [1, 4, 9])
async def test_a_kill_between_loads_loses_and_doubles_nothing(tmp_path: Path, acknowledged: int) -> None:
    first = DuckDBWarehouse(tmp_path)
    await first.ensure_dataset(ORG.dataset)
    await first.ensure(USAGE, SCHEMA)
    await first.close()
    loader = start(LOADER, tmp_path, 1)
    for _ in range(acknowledged):
        last = int(first_line(loader))
    stop(loader)

    again = DuckDBWarehouse(tmp_path)
    window = Window(DAY, DAY + timedelta(days=5))
    scopes = await again.scopes(ORG.dataset, "s", window)
    sql = (
        "SELECT day, COUNT(*) AS rows_, COUNT(DISTINCT n) AS loads, MAX(n) AS turn FROM usage GROUP BY day ORDER BY day"
    )
    days = (await again.query(Statement(sql, ORG.dataset))).to_pylist()
    await again.close()

    assert [(day["rows_"], day["loads"]) for day in days] == [(500, 1)] * len(days)
    assert [(scope.day, scope.rows) for scope in scopes] == [(day["day"], 500) for day in days]
    assert max(day["turn"] for day in days) >= last


async def test_copies_are_made_only_when_commits_have_moved(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    path = tmp_path / "readers" / "acme_dev.duckdb"
    inodes = []
    for change in (False, False, True):
        if change:
            await warehouse.load(USAGE, stream(batch(1)), mode=WriteMode.APPEND)
        await warehouse.read(COUNT, max_rows=1)
        inodes.append(path.stat().st_mtime_ns)

    assert inodes[0] == inodes[1] < inodes[2]
    assert [file.name for file in path.parent.iterdir()] == ["acme_dev.duckdb"]


async def test_dropping_a_dataset_removes_its_files(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    await warehouse.read(COUNT, max_rows=1)

    await warehouse.drop_dataset(ORG.dataset)

    assert list(tmp_path.rglob("acme_dev*")) == []


async def test_a_large_load_goes_through_a_file_that_is_removed(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(tmp_path, stage_bytes=10_000)
    await warehouse.ensure_dataset(ORG.dataset)
    await warehouse.ensure(USAGE, SCHEMA)
    batches = [batch(*range(1000)) for _ in range(20)]

    claim = Claim("s", "run", 1, "load", None)
    loaded = await warehouse.load(
        USAGE, stream(*batches), mode=WriteMode.REPLACE_WINDOW, window=Window.day(DAY), claim=claim
    )
    found = await warehouse.query(COUNT)
    left = list((tmp_path / "warehouse" / ".spill").glob("*.arrow"))
    await warehouse.close()

    assert (loaded.rows, found.to_pylist()) == (20_000, [{"n": 20_000, "total": 20 * 499_500}])
    assert left == []


async def test_a_backup_is_whole_and_never_overwrites(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    await warehouse.load(USAGE, stream(batch(1, 2, 3)), mode=WriteMode.APPEND)
    target = tmp_path / "backup.duckdb"
    await warehouse.backup(ORG.dataset, target)

    with pytest.raises(StatementFailed, match=r"backup\.duckdb exists"):
        await warehouse.backup(ORG.dataset, target)

    with duckdb.connect(str(target), read_only=True) as copy:
        assert copy.sql("SELECT count(*) FROM usage").fetchall() == [(3,)]
        assert copy.sql("SELECT count(*) FROM _table_metadata").fetchall() == [(1,)]


async def test_an_older_engine_can_open_the_file(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    await warehouse.close()

    with duckdb.connect(str(tmp_path / "warehouse" / "acme_dev.duckdb"), read_only=True) as connection:
        ((tags,),) = connection.sql("SELECT tags FROM duckdb_databases() WHERE database_name = 'acme_dev'").fetchall()

    assert tags["storage_version"].startswith("v1.5")
