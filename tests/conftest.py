"""What every test runs under."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from redis_server import LocalRedis

ROOM_BYTES = 8 * 2**30

# Here and nowhere else: a fixture of the session that two files import would be two fixtures.
pytest_plugins = ["bigquery_emulator"]

# The same examples each time, and no verdict by the clock: two processes share two cores.
settings.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_configure() -> None:
    """Files of tests lie in memory where there is room: a test writes little and waits for the disk often."""
    memory = Path("/dev/shm")
    if "TMPDIR" not in os.environ and memory.is_dir() and shutil.disk_usage(memory).free > ROOM_BYTES:
        os.environ["TMPDIR"] = str(memory)
        tempfile.tempdir = None


def pytest_xdist_auto_num_workers() -> int:
    """As many as there are processors; xdist would count cores, where something has installed psutil."""
    return os.cpu_count() or 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests begin first, so that nothing waits for them at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def running_redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRedis]:
    from redis_server import running_redis

    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def local_redis(running_redis_server: LocalRedis) -> LocalRedis:
    """An empty Redis; one server for all tests of a process."""
    running_redis_server.ensure_running()
    running_redis_server.flush()
    return running_redis_server
