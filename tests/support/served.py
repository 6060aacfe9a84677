"""A server in a process of its own, as a user runs it, and the simulator beside it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import httpx2

ROOT_KEY = "root-key-of-the-tests-0123456789abcdef"
PREFIX = "/api/v1"


def free_port() -> int:
    """A port below those given to clients: one that asks such a port too early can be answered by itself."""
    while True:
        port = random.randint(10_000, 30_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Program:
    """A `convergence` command as a process; it may be killed and started again."""

    def __init__(self, *arguments: str, log: Path, environment: dict[str, str]) -> None:
        self.arguments = arguments
        self.log = log
        self.environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "convergence", *self.arguments], env=self.environment, stdout=log, stderr=log
            )
        return self

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self._process.terminate()
        return self._process.wait(timeout=40)

    def close(self) -> None:
        if self.is_running:
            self.kill()


class Server(Program):
    """`convergence serve` over one data folder.

    Without a scheduler: a test that meets the hour of a schedule would find a run that it never asked for.
    """

    def __init__(self, data_dir: Path, *options: str, **environment: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        settings = {
            "DATA_DIR": str(data_dir),
            "CA_ROOT_API_KEY": ROOT_KEY,
            "API_PORT": str(self.port),
            "RATE_LIMIT_ENABLED": "false",
            "METADATA_LOG_FLUSH_INTERVAL_SECONDS": "1",
            **environment,
        }
        log = data_dir.parent / f"server-{self.port}.log"
        super().__init__("serve", "--no-scheduler", *options, log=log, environment=settings)
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60, trust_env=False)

    def start(self) -> Self:
        super().start()
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline and self.is_running:
            with contextlib.suppress(httpx2.TransportError):
                if self.client.get("/health/ready", timeout=5).status_code == 200:
                    return self
            time.sleep(0.02)
        raise AssertionError(f"the server did not start:\n{self.log.read_text()[-3000:]}")

    def close(self) -> None:
        self.client.close()
        super().close()

    def root(self, path: str, body: dict | None = None) -> dict:
        return self._ok(self.client.post(PREFIX + path, json=body, headers={"X-CA-Root-Key": ROOT_KEY}))

    def post(self, path: str, key: str, body: dict | None = None) -> dict:
        return self._ok(self.client.post(PREFIX + path, json=body, headers={"X-API-Key": key}))

    def get(self, path: str, key: str, **params: str) -> dict:
        return self._ok(self.client.get(PREFIX + path, params=params, headers={"X-API-Key": key}))

    def query(self, org: str, key: str, sql: str) -> list[dict]:
        return self.post(f"/query/{org}", key, {"sql": sql, "max_rows": 10_000})["rows"]

    def onboard(self, org: str, plan: str = "SCALE") -> str:
        """A new organization's key."""
        body = {"org_slug": org, "company_name": org, "admin_email": f"{org}@example.com", "subscription_plan": plan}
        return str(self.root("/organizations/onboard", body)["api_key"])

    def finish(self, key: str, run_id: str, *, seconds: float = 120) -> dict:
        """The run when it has ended."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            run = self.get(f"/pipelines/runs/{run_id}", key)
            if run["status"] in {"COMPLETED", "FAILED", "CANCELLED"}:
                return run
            time.sleep(0.05)
        raise AssertionError(f"run {run_id} has not ended: {run}")

    @staticmethod
    def _ok(answer: httpx2.Response) -> dict:
        assert answer.is_success, (
            f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text}"
        )
        return answer.json()


@contextlib.contextmanager
def serving(data_dir: Path, **environment: str) -> Iterator[Server]:
    server = Server(data_dir, **environment)
    try:
        yield server.start()
    finally:
        server.close()
