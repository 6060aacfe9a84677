"""The OpenAI steps, and the simulated account behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from step_bench import NOW, TODAY, Bench, open_bench

from convergence.kit.clock import ManualClock
from convergence.simulator import OpenAIWorld, Simulator, SimulatorServer

KEY = "sk-admin-test-0123456789abcdef"


@pytest.fixture
def world() -> OpenAIWorld:
    return OpenAIWorld(seed=11, end_day=TODAY, days=7, rows_per_day=90)


@pytest.fixture
def simulator(world: OpenAIWorld) -> Iterator[SimulatorServer]:
    simulator = Simulator(clock=ManualClock(NOW))
    simulator.add_account(KEY, world)
    with SimulatorServer(simulator) as server:
        yield server


@pytest.fixture
async def bench(simulator: SimulatorServer, world: OpenAIWorld, tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(simulator, world, tmp_path, "openai", KEY) as made:
        yield made
