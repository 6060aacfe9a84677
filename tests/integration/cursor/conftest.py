"""The Cursor steps, and the simulated team behind them. Both stand on one clock, so that waiting moves both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from step_bench import NOW, TODAY, Bench, open_bench

from convergence.kit.clock import ManualClock
from convergence.simulator import CursorWorld, Simulator, SimulatorServer

KEY = "crsr_test0123456789abcdef"
MONEY = ("cursor.usage_events", "cursor.cost")
EXACTLY = {"restatement_days": 0, "cycle_days": 0}


@pytest.fixture
def world() -> CursorWorld:
    return CursorWorld(seed=11, end_day=TODAY, days=3, rows_per_day=40)


@pytest.fixture
def simulator(world: CursorWorld) -> Iterator[SimulatorServer]:
    simulator = Simulator(clock=ManualClock(NOW))
    simulator.add_account(KEY, world, provider="cursor")
    with SimulatorServer(simulator) as server:
        yield server


@pytest.fixture
async def bench(simulator: SimulatorServer, world: CursorWorld, tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(simulator, world, tmp_path, "cursor", KEY) as made:
        made.simulator.clock = made.clock
        yield made
