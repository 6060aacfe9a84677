"""The wall below the guard: the reader process itself refuses what a statement must not do."""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence.errors import QueryRejected
from convergence.sql import Statement
from convergence.tenancy import OrgScope
from convergence.warehouse.duckdb import DuckDBWarehouse
from convergence.warehouse.duckdb.walled import ReadLimits, run_walled

from .conftest import ORG, batch, stream

HOSTILE = [
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_csv('/proc/self/environ')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM read_parquet('https://example.com/x.parquet')",
    "SELECT getenv('PATH')",
    "COPY usage TO '/tmp/x.csv'",
    "ATTACH '{folder}/warehouse/rival_dev.duckdb' AS rival",
    "SELECT * FROM rival_dev.main.usage",
    "SELECT * FROM organizations.main.org_api_keys",
    "SELECT * FROM acme_dev.main._load_scopes",
    "SELECT * FROM connection",
    "SELECT * FROM request",
    "SET memory_limit = '100GB'",
    "SET enable_external_access = true",
    "RESET lock_configuration",
    "INSTALL httpfs",
    "LOAD httpfs",
    "DROP TABLE acme_dev.main.usage",
    "DELETE FROM acme_dev.main.usage",
    "CREATE TABLE acme_dev.main.x AS SELECT 1",
    "SELECT 1; DROP TABLE acme_dev.main.usage",
    "CREATE SECRET s (TYPE s3)",
    "PRAGMA database_list",
    "EXPORT DATABASE '/tmp/x'",
]


@pytest.fixture
async def copy(warehouse: DuckDBWarehouse, tmp_path: Path) -> Path:
    from convergence.warehouse import WriteMode

    from .conftest import SCHEMA, USAGE

    rival = OrgScope("rival")
    await warehouse.ensure_dataset(rival.dataset)
    await warehouse.ensure(rival.table("usage"), SCHEMA)
    await warehouse.load(USAGE, stream(batch(1, 2)), mode=WriteMode.APPEND)
    await warehouse.read(Statement("SELECT 1", ORG.dataset), max_rows=1)
    return tmp_path / "readers" / "acme_dev.duckdb"


@pytest.mark.parametrize("sql", HOSTILE)
async def test_refused_without_the_guard(copy: Path, sql: str) -> None:
    with pytest.raises(QueryRejected):
        await run_walled(copy, sql.format(folder=copy.parent.parent), {}, 10, ReadLimits(seconds=10))


async def test_the_process_has_no_environment(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SERVER", "hunter2")

    with pytest.raises(QueryRejected) as caught:
        await run_walled(copy, "SELECT getenv('SECRET_OF_THE_SERVER')", {}, 10, ReadLimits(seconds=10))

    assert "hunter2" not in caught.value.message


async def test_an_error_names_no_folder_of_this_machine(copy: Path) -> None:
    with pytest.raises(QueryRejected) as caught:
        await run_walled(copy, f"SELECT * FROM read_csv('{copy.parent}/x.csv')", {}, 10, ReadLimits(seconds=10))

    assert str(copy.parent) not in caught.value.message


async def test_the_tables_are_there(copy: Path) -> None:
    found = await run_walled(copy, 'SELECT n FROM "acme_dev".main."usage" ORDER BY n', {}, 10, ReadLimits(seconds=10))

    assert found.to_pylist() == [{"n": 1}, {"n": 2}]
