"""A small OpenAI account that was loaded once, for what happens to prices afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from step_bench import CONFIGS, NOW, TODAY, Bench, last_days, open_bench

from convergence.catalog import Catalog
from convergence.kit.clock import ManualClock
from convergence.simulator import OpenAIWorld, Simulator, SimulatorServer

KEY = "sk-admin-test-0123456789abcdef"
DAYS = last_days(3)
COST_STEPS = ("openai.usage", "openai.reported_cost", "openai.cost")


@pytest.fixture
def world() -> OpenAIWorld:
    return OpenAIWorld(seed=11, end_day=TODAY, days=3, rows_per_day=30)


@pytest.fixture
def simulator(world: OpenAIWorld) -> Iterator[SimulatorServer]:
    simulator = Simulator(clock=ManualClock(NOW))
    simulator.add_account(KEY, world)
    with SimulatorServer(simulator) as server:
        yield server


@pytest.fixture
async def bench(simulator: SimulatorServer, world: OpenAIWorld, tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(simulator, world, tmp_path, "openai", KEY) as made:
        for ps_type in COST_STEPS:
            await made.run(ps_type, DAYS)
        yield made


@pytest.fixture
def place(bench: Bench) -> tuple[Any, ...]:
    return bench.warehouse, Catalog(CONFIGS), bench.org, "openai"
