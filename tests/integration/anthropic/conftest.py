"""The Anthropic steps, and the simulated account behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from step_bench import NOW, TODAY, Bench, open_bench

from convergence.kit.clock import ManualClock
from convergence.simulator import AnthropicWorld, Simulator, SimulatorServer

KEY = "sk-ant-admin01-test-0123456789abcdef"
MONEY = ("anthropic.usage", "anthropic.reported_cost", "anthropic.cost")


@pytest.fixture
def world() -> AnthropicWorld:
    return AnthropicWorld(seed=11, end_day=TODAY, days=7, rows_per_day=90)


@pytest.fixture
def simulator(world: AnthropicWorld) -> Iterator[SimulatorServer]:
    simulator = Simulator(clock=ManualClock(NOW))
    simulator.add_account(KEY, world, provider="anthropic")
    with SimulatorServer(simulator) as server:
        yield server


@pytest.fixture
async def bench(simulator: SimulatorServer, world: AnthropicWorld, tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(simulator, world, tmp_path, "anthropic", KEY) as made:
        yield made
