"""An organization whose costs a test can add up in its head."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cost_ledger import CONFIGS, Ledger, spend

from convergence.catalog import Catalog
from convergence.tenancy import OrgScope
from convergence.warehouse.duckdb import DuckDBWarehouse


@asynccontextmanager
async def open_ledger(folder: Path) -> AsyncIterator[Ledger]:
    warehouse, org = DuckDBWarehouse(folder), OrgScope("acme")
    await warehouse.ensure_dataset(org.dataset)
    yield Ledger(warehouse, Catalog(CONFIGS), org)
    await warehouse.close()


@pytest.fixture(scope="session")
def spent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the organization: copied, they spare each test its own loads."""
    folder = tmp_path_factory.mktemp("spent")

    async def write() -> None:
        async with open_ledger(folder) as ledger:
            await spend(ledger)

    asyncio.run(write())
    return folder


@pytest.fixture
async def ledger(tmp_path: Path, spent: Path) -> AsyncIterator[Ledger]:
    shutil.copytree(spent, tmp_path, dirs_exist_ok=True)
    async with open_ledger(tmp_path) as opened:
        yield opened


@pytest.fixture
async def bare(tmp_path: Path) -> AsyncIterator[Ledger]:
    """The organization before its first cost."""
    async with open_ledger(tmp_path) as opened:
        yield opened
