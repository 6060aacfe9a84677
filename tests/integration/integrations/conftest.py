"""A platform with two organizations, and a simulated OpenAI with an account for each."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from convergence.catalog import Catalog
from convergence.connectors import HttpPolicy, HttpPool
from convergence.integrations import Integrations
from convergence.kit.clock import ManualClock
from convergence.organizations import OnboardingRequest, Organizations
from convergence.security import Security, open_local_security
from convergence.simulator import OpenAIWorld, Simulator, SimulatorServer
from convergence.sql import Statement
from convergence.state import StateStore
from convergence.state.memory import MemoryStateStore
from convergence.tenancy import OrgScope, PlatformScope
from convergence.warehouse import Warehouse
from convergence.warehouse.duckdb import DuckDBWarehouse

CONFIGS = Path(__file__).parents[3] / "configs"
QUICK = HttpPolicy(attempts=2, backoff_base=0.001)


@dataclass
class Platform:
    """What a process holds."""

    warehouse: Warehouse
    scope: PlatformScope
    security: Security
    state: StateStore
    catalog: Catalog
    clock: ManualClock
    http: HttpPool
    acme: OrgScope
    globex: OrgScope

    def organizations(self) -> Organizations:
        return Organizations(self.warehouse, self.scope, self.security, self.state, self.catalog, self.clock)

    def integrations(self, http: HttpPool | None = None) -> Integrations:
        return Integrations(
            self.warehouse, self.scope, self.security, self.state, http or self.http, self.clock, self.catalog
        )

    async def rows(self) -> list[dict[str, Any]]:
        statement = Statement("SELECT * FROM org_integration_credentials ORDER BY org_slug", self.scope.dataset)
        return (await self.warehouse.query(statement)).to_pylist()


@pytest.fixture(scope="session")
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer(Simulator()) as server:
        yield server


@pytest.fixture
def simulator(server: SimulatorServer, admin_key: str, other_key: str) -> Simulator:
    simulator = server.simulator
    simulator.reset()
    simulator.accounts.clear()
    end_day = datetime.now(UTC).date()
    for seed, key in enumerate((admin_key, other_key)):
        simulator.add_account(key, OpenAIWorld(seed, end_day=end_day, days=3, rows_per_day=5))
    return simulator


@pytest.fixture
def admin_key() -> str:
    return "sk-admin-acme-0123456789abcdefghij"


@pytest.fixture
def other_key() -> str:
    return "sk-admin-globex-0123456789abcdefgh"


@asynccontextmanager
async def open_platform(folder: Path, base_urls: Mapping[str, str]) -> AsyncIterator[Platform]:
    warehouse = DuckDBWarehouse(folder)
    clock = ManualClock(datetime.now(UTC).replace(microsecond=0))
    state = MemoryStateStore(None, clock=clock)
    http = HttpPool(base_urls=base_urls, clock=clock, policy=QUICK)
    scope = PlatformScope()
    yield Platform(
        warehouse=warehouse,
        scope=scope,
        security=open_local_security(folder),
        state=state,
        catalog=Catalog(CONFIGS),
        clock=clock,
        http=http,
        acme=scope.org("Acme"),
        globex=scope.org("globex"),
    )
    await http.close()
    await state.close()
    await warehouse.close()


@pytest.fixture(scope="session")
def onboarded(tmp_path_factory: pytest.TempPathFactory, server: SimulatorServer) -> Path:
    """The files of a platform with both organizations: copied, they spare each test its own set-up."""
    folder = tmp_path_factory.mktemp("onboarded")

    async def set_up() -> None:
        async with open_platform(folder, server.base_urls) as platform:
            organizations = platform.organizations()
            await organizations.bootstrap()
            await organizations.onboard(OnboardingRequest("Acme", "Acme Inc.", "ann@acme.example"))
            await organizations.onboard(OnboardingRequest("globex", "Globex", "hank@globex.example"))

    asyncio.run(set_up())
    return folder


@pytest.fixture
async def platform(
    tmp_path: Path, onboarded: Path, server: SimulatorServer, simulator: Simulator
) -> AsyncIterator[Platform]:
    shutil.copytree(onboarded, tmp_path, dirs_exist_ok=True)
    async with open_platform(tmp_path, server.base_urls) as platform:
        platform.clock.advance(timedelta(seconds=1))
        yield platform


@pytest.fixture
def integrations(platform: Platform) -> Integrations:
    return platform.integrations()
