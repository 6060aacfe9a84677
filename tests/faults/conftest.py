"""A set-up platform for every test, copied from one that was set up once."""

from __future__ import annotations

import asyncio
import io
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog

from convergence.simulator import Simulator, SimulatorServer
from convergence.telemetry import configure_logging

from .lab import SEED, Lab


@contextmanager
def _logging() -> Iterator[io.StringIO]:
    """Everything that is logged, at DEBUG; afterwards logging is as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging("DEBUG", json=True, stream=stream)
    structlog.configure(cache_logger_on_first_use=False)  # no logger outlives the test with this stream
    yield stream
    structlog.reset_defaults()
    root.handlers = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def fake_provider() -> Iterator[SimulatorServer]:
    with SimulatorServer(Simulator(seed=SEED)) as server:
        yield server


@pytest.fixture(scope="session")
def set_up_folder(tmp_path_factory: pytest.TempPathFactory, fake_provider: SimulatorServer) -> Path:
    """A data folder with both organizations in it."""
    folder = tmp_path_factory.mktemp("set_up") / "data"

    async def set_up(lab: Lab) -> None:
        async with lab.open(work=False) as bench:
            await bench.set_up()

    with _logging() as log:
        lab = Lab(folder, fake_provider, log)
        lab.stage(days=2)
        asyncio.run(set_up(lab))
    return folder


@pytest.fixture
def lab(tmp_path: Path, set_up_folder: Path, fake_provider: SimulatorServer) -> Iterator[Lab]:
    fake_provider.simulator.reset()
    shutil.copytree(set_up_folder, tmp_path / "data")
    with _logging() as log:
        made = Lab(tmp_path / "data", fake_provider, log)
        made.stage()
        yield made
