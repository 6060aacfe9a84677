"""A platform of its own for each test: real warehouse files, real keys, a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from convergence.catalog import Catalog
from convergence.kit.clock import ManualClock
from convergence.organizations import Organizations
from convergence.security import Security, open_local_security
from convergence.state import StateStore
from convergence.state.memory import MemoryStateStore
from convergence.tenancy import PlatformScope
from convergence.warehouse import Warehouse
from convergence.warehouse.duckdb import DuckDBWarehouse

CONFIGS = Path(__file__).parents[3] / "configs"


@dataclass
class Platform:
    """What a process holds; every call of `organizations` is a service as another process would have it."""

    warehouse: Warehouse
    scope: PlatformScope
    security: Security
    state: StateStore
    catalog: Catalog
    clock: ManualClock

    def organizations(self) -> Organizations:
        return Organizations(self.warehouse, self.scope, self.security, self.state, self.catalog, self.clock)


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    warehouse = DuckDBWarehouse(tmp_path)
    clock = ManualClock(datetime.now(UTC).replace(microsecond=0))
    state = MemoryStateStore(None, clock=clock)
    yield Platform(warehouse, PlatformScope(), open_local_security(tmp_path), state, Catalog(CONFIGS), clock)
    await state.close()
    await warehouse.close()


@pytest.fixture
async def organizations(platform: Platform) -> Organizations:
    organizations = platform.organizations()
    await organizations.bootstrap()
    return organizations
