"""When users' statements get a new copy: a commit of their own dataset, or of one that they read through a view."""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence.sql import Statement
from convergence.tenancy import OrgScope
from convergence.warehouse import WriteMode
from convergence.warehouse.duckdb import DuckDBWarehouse

from .conftest import ORG, SCHEMA, USAGE, batch, stream

OTHER = OrgScope("globex")
OWN = Statement("SELECT COUNT(*) AS n FROM usage", ORG.dataset)
ACROSS = Statement("SELECT COUNT(*) AS n FROM Across", ORG.dataset)


@pytest.fixture
async def across(warehouse: DuckDBWarehouse) -> DuckDBWarehouse:
    """With a view over a table of another dataset."""
    await warehouse.ensure_dataset(OTHER.dataset)
    await warehouse.ensure(OTHER.table("usage"), SCHEMA)
    view = Statement("SELECT * FROM theirs", ORG.dataset, tables={"theirs": OTHER.table("usage")})
    await warehouse.ensure_view(ORG.table("across"), view)
    return warehouse


async def _count(warehouse: DuckDBWarehouse, statement: Statement) -> int:
    number: int = (await warehouse.read(statement, max_rows=1)).to_pylist()[0]["n"]
    return number


def _copy(folder: Path) -> int:
    return (folder / "readers" / "acme_dev.duckdb").stat().st_ino


async def test_a_commit_elsewhere_costs_no_copy(across: DuckDBWarehouse, tmp_path: Path) -> None:
    await _count(across, OWN)
    before = _copy(tmp_path)
    await across.load(OTHER.table("usage"), stream(batch(1)), mode=WriteMode.APPEND)
    assert await _count(across, OWN) == 0
    assert _copy(tmp_path) == before


async def test_a_view_over_another_dataset_shows_its_last_commit(across: DuckDBWarehouse) -> None:
    assert await _count(across, ACROSS) == 0
    await across.load(OTHER.table("usage"), stream(batch(1, 2)), mode=WriteMode.APPEND)
    assert await _count(across, ACROSS) == 2


async def test_a_commit_of_its_own_is_seen_at_once(across: DuckDBWarehouse) -> None:
    await _count(across, OWN)
    await across.load(USAGE, stream(batch(1)), mode=WriteMode.APPEND)
    assert await _count(across, OWN) == 1
