"""The simulator on a port: blocking, in a thread, or in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from convergence.kit import jsontext
from convergence.simulator.providers import PROVIDERS
from convergence.simulator.server import create_simulator_app
from convergence.simulator.simulator import Simulator

if TYPE_CHECKING:
    from uvicorn.server import ServerState

LOOPBACK = "127.0.0.1"
_PATIENCE_SECONDS = 60


class _OpenConnection(H11Protocol):
    """Shows its connection to the application, so that a fault can break it."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, {**app_state, "connection": self}, _loop)


class SimulatorServer(AbstractContextManager["SimulatorServer"]):
    """A simulator served from a thread while the context lasts."""

    def __init__(self, simulator: Simulator, *, host: str = LOOPBACK, port: int = 0) -> None:
        self.simulator = simulator
        self.host = host
        self._socket = open_socket(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._server = build_server(simulator)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def base_urls(self) -> dict[str, str]:
        """Where each provider's API begins."""
        return build_base_urls(self.url)

    def __enter__(self) -> Self:
        self._thread.start()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError(f"the simulator did not start on {self.url}")
            time.sleep(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=_PATIENCE_SECONDS)
        self._socket.close()
        self.simulator.close()


class SimulatorProcess(AbstractContextManager["SimulatorProcess"]):
    """A simulator in a process of its own while the context lasts; `arguments` are those of the command line."""

    def __init__(self, arguments: Sequence[str] = ()) -> None:
        self._command = [sys.executable, "-m", "convergence.simulator", *arguments]
        self._process: subprocess.Popen[str] | None = None
        self.ready: dict[str, Any] = {}

    @property
    def url(self) -> str:
        return str(self.ready["url"])

    @property
    def base_urls(self) -> dict[str, str]:
        urls: dict[str, str] = self.ready["base_urls"]
        return urls

    @property
    def key(self) -> str:
        return str(self.ready["key"])

    @property
    def keys(self) -> dict[str, str]:
        """An admin key of each provider."""
        keys: dict[str, str] = self.ready["keys"]
        return keys

    @property
    def pid(self) -> int:
        return int(self.ready["pid"])

    def __enter__(self) -> Self:
        process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own module
        self._process = process
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise RuntimeError(f"the simulator ended with exit code {process.wait()} before it was ready")
        self.ready = json.loads(line)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()


def run_simulator(
    simulator: Simulator, *, key: str, host: str = LOOPBACK, port: int = 0, truth: Path | None = None
) -> None:
    """Serve until interrupted. When ready, print one line of JSON: url, port, base_urls, key, keys, pid, truth_file."""
    opened = open_socket(host, port)
    if truth is not None:
        truth.write_text(jsontext.dumps(simulator.truth()) + "\n")
    bound = opened.getsockname()[1]
    url = f"http://{host}:{bound}"
    ready = {
        "url": url,
        "port": bound,
        "base_urls": build_base_urls(url),
        "key": key,
        "keys": {account.provider: account.key for account in simulator.accounts.values()},
        "pid": os.getpid(),
        "truth_file": str(truth) if truth else None,
    }
    print(jsontext.dumps(ready), flush=True)  # noqa: T201 - the parent process reads it
    build_server(simulator).run([opened])


def build_base_urls(url: str) -> dict[str, str]:
    return {provider.name: url + provider.path for provider in PROVIDERS.values()}


def open_socket(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.create_server((host, port), family=family, backlog=512)
    # asyncio does so only for sockets that name their protocol; without it every answer waits 40 ms for an ACK.
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


def build_server(simulator: Simulator) -> uvicorn.Server:
    config = uvicorn.Config(
        create_simulator_app(simulator),
        http=_OpenConnection,
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="critical",
        timeout_keep_alive=30,
        timeout_graceful_shutdown=2,
    )
    return uvicorn.Server(config)
