"""The emulator of BigQuery for tests: a process of its own, one per test worker, started when a test first asks."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import tempfile
import uuid
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from bigquery_project import BigQueryProject, find_fault

if TYPE_CHECKING:
    from google.cloud import bigquery

ENVIRONMENT: Final = Path(__file__).parents[2] / ".venv-bigquery"
SERVER: Final = Path(__file__).parent / "bigquery_emulation" / "server.py"
LOCATION: Final = "US"
_LOG: Final = pytest.StashKey[Path]()
_START_SECONDS: Final = 120


@dataclass(frozen=True)
class BigQueryEmulator:
    """Where the emulator listens. It takes any project id: a test with one of its own meets no other test."""

    endpoint: str
    grpc_address: str
    log: Path

    @staticmethod
    def project() -> str:
        return f"test-{uuid.uuid4().hex[:20]}"

    def client(self, project: str) -> bigquery.Client:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import bigquery

        return bigquery.Client(
            project,
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": self.endpoint},
            location=LOCATION,
        )


@contextlib.contextmanager
def emulating() -> Iterator[BigQueryEmulator]:
    """Start the emulator, and end it whatever happens: it also ends by itself when this process does."""
    python = ENVIRONMENT / "bin" / "python"
    if not (ENVIRONMENT / ".installed").exists():
        pytest.fail("the emulator of BigQuery is not installed: make bigquery-emulator", pytrace=False)
    with tempfile.TemporaryDirectory(prefix="bigquery-emulator-") as folder:
        log = Path(folder) / "emulator.log"
        with _process(python, Path(folder), log) as process:
            yield _address(process, log)


@contextlib.contextmanager
def _process(python: Path, folder: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [python, SERVER, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={"PATH": os.environ["PATH"], "HOME": str(ENVIRONMENT / "home"), "PYTHONUNBUFFERED": "1"},
        )
    try:
        with process:
            yield process
            process.kill()
    finally:
        process.kill()


def _address(process: subprocess.Popen[bytes], log: Path) -> BigQueryEmulator:
    """The ports that the process itself printed: nobody else's server can answer for it."""
    ready, _, _ = select.select([process.stdout], [], [], _START_SECONDS)
    line = process.stdout.readline() if ready else b""
    if not line:
        process.kill()
        pytest.fail(f"the emulator of BigQuery did not start:\n{log.read_text()[-3000:]}", pytrace=False)
    ports = json.loads(line)
    return BigQueryEmulator(f"http://127.0.0.1:{ports['rest']}", f"127.0.0.1:{ports['grpc']}", log)


@pytest.fixture(scope="session")
def bigquery_emulator(pytestconfig: pytest.Config) -> Iterator[BigQueryEmulator | BigQueryProject]:
    """The emulator; with BIGQUERY_TEST_PROJECT, which `make test-bigquery` sets, that project instead."""
    if name := os.environ.get("BIGQUERY_TEST_PROJECT"):
        if fault := find_fault(name):
            pytest.fail(fault, pytrace=False)
        real = BigQueryProject(name)
        yield real
        real.clear()
        return
    with emulating() as emulator:
        pytestconfig.stash[_LOG] = emulator.log
        yield emulator


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test over BigQuery shows what the emulator said last."""
    report = yield
    log = item.config.stash.get(_LOG, None)
    if report.failed and "bigquery" in item.nodeid and log is not None and log.exists():
        report.sections.append(("the emulator's log", log.read_text()[-2000:]))
    return report
