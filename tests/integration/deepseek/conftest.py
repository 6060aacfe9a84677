"""Exports of a simulated console, loaded as uploads, and the account behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from step_bench import NOW, TODAY, Bench, open_bench

from convergence.kit.clock import ManualClock
from convergence.kit.window import Window
from convergence.simulator import DeepSeekWorld, ExportForm, Simulator, SimulatorServer, build_export, zip_export

KEY = "sk-deepseek-test-0123456789abcdef"
PIPELINE = "deepseek-export"
COST_STEPS = ("load_export", "transform_cost")


@pytest.fixture
def world() -> DeepSeekWorld:
    return DeepSeekWorld(seed=11, end_day=TODAY, days=7, steady=True)


@pytest.fixture
def simulator(world: DeepSeekWorld) -> Iterator[SimulatorServer]:
    simulator = Simulator(clock=ManualClock(NOW))
    simulator.add_account(KEY, world, provider="deepseek")
    with SimulatorServer(simulator) as server:
        yield server


@pytest.fixture
async def bench(simulator: SimulatorServer, world: DeepSeekWorld, tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(simulator, world, tmp_path, "deepseek", KEY) as made:
        yield made


async def load_export(bench: Bench, days: Window, form: ExportForm | None = None, **limits: Any) -> dict[str, Any]:
    """Export days as the console does it now, and load the ZIP."""
    files = build_export(bench.world, days, bench.clock.now(), form)
    return await bench.load_file(zip_export(files), "usage_data.zip", pipeline=PIPELINE, only=COST_STEPS, **limits)


async def load_csv(bench: Bench, *texts: str) -> dict[str, Any]:
    """Load files written by hand, packed as the console packs them."""
    files = {f"{place}-{text.split(',')[-1][:4]}.csv": text.encode() for place, text in enumerate(texts)}
    return await bench.load_file(zip_export(files), "usage_data.zip", pipeline=PIPELINE, only=COST_STEPS)
