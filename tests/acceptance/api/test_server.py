"""The server as a process of its own: what only a socket shows."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import httpx2
import pytest
from served import free_port

from convergence.simulator import SimulatorServer

from .conftest import ADMIN_KEY, ROOT, ROOT_KEY, days

SERVE = """
import sys
from convergence.api.server import serve
from convergence.settings import load_settings
sys.exit(serve(load_settings()))
"""


@dataclass
class Server:
    process: subprocess.Popen[str]
    port: int
    client: httpx2.Client

    def stop(self) -> tuple[int, str]:
        """Exit code and what it logged."""
        self.process.send_signal(signal.SIGTERM)
        _, logged = self.process.communicate(timeout=30)
        return self.process.returncode, logged


@contextmanager
def _serving(folder: Path, **variables: str) -> Iterator[Server]:
    port = free_port()
    environ = {
        "PATH": os.environ["PATH"],
        "DATA_DIR": str(folder),
        "API_PORT": str(port),
        "CA_ROOT_API_KEY": ROOT_KEY,
        **variables,
    }
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE], cwd=folder, env=environ, stderr=subprocess.PIPE, text=True
    )
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            _await_ready(process, client)
            yield Server(process, port, client)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _await_ready(process: subprocess.Popen[str], client: httpx2.Client) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get("/health/ready").status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
    raise AssertionError("the server did not become ready")


def test_the_way_of_a_user_with_curl(tmp_path: Path, simulator: SimulatorServer) -> None:
    with _serving(tmp_path, OPENAI_BASE_URL=simulator.base_urls["openai"]) as server:
        api = server.client
        api.post("/api/v1/admin/bootstrap", headers=ROOT).raise_for_status()
        body = {"org_slug": "acme", "company_name": "Acme", "admin_email": "ann@acme.example"}
        key = {"X-API-Key": api.post("/api/v1/organizations/onboard", headers=ROOT, json=body).json()["api_key"]}
        credential = {"credential": ADMIN_KEY}
        api.post("/api/v1/integrations/acme/openai/setup", headers=key, json=credential).raise_for_status()
        run = api.post("/api/v1/pipelines/run/acme/openai/usage_cost", headers=key, json=days()).json()
        url = f"/api/v1/pipelines/runs/{run['pipeline_logging_id']}"
        while (status := api.get(url, headers=key).json()["status"]) in {"PENDING", "RUNNING"}:
            time.sleep(0.2)
        costs = api.get("/api/v1/costs/acme", headers=key, params={**days(), "granularity": "total"}).json()
        code, logged = server.stop()

    assert status == "COMPLETED"
    assert Decimal(costs["total"]["billed_cost"]) == Decimal(simulator.simulator.truth(ADMIN_KEY)["cost"]["total"])
    assert code == 0
    assert ADMIN_KEY not in logged
    assert key["X-API-Key"] not in logged


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with _serving(tmp_path_factory.mktemp("served"), MAX_REQUEST_SIZE_BYTES="100000") as serving:
        yield serving


@pytest.mark.parametrize("length", [9_000, 60_000, 300_000])
def test_headers_of_any_length_above_the_cap_are_431(server: Server, length: int) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\nX-Padding: " + b"x" * length + b"\r\n\r\n")
        answer = connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"application/problem+json" in answer


def test_what_is_not_http_is_400(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(b"HELO\r\n\r\n")
        answer = connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 400 ")


def test_a_large_body_is_413_on_a_socket_too(server: Server) -> None:
    headers = {**ROOT, "Content-Type": "application/json"}
    declared = server.client.post("/api/v1/organizations/dryrun", headers=headers, content=b"x" * 200_000)
    chunked = server.client.post(
        "/api/v1/organizations/dryrun", headers=headers, content=(b"x" * 10_000 for _ in range(20))
    )

    assert [answer.status_code for answer in (declared, chunked)] == [413, 413]


def test_the_server_does_not_name_itself(server: Server) -> None:
    assert "server" not in server.client.get("/health").headers


def test_sigterm_lets_a_request_end(tmp_path: Path) -> None:
    with _serving(tmp_path) as server:
        server.client.post("/api/v1/admin/bootstrap", headers=ROOT).raise_for_status()
        body = b'{"org_slug": "acme", "company_name": "Acme", "admin_email": "ann@acme.example"}'
        head = (
            f"POST /api/v1/organizations/onboard HTTP/1.1\r\nHost: a\r\nX-CA-Root-Key: {ROOT_KEY}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(head.encode() + body[:-1])
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            connection.sendall(body[-1:])
            answer = connection.recv(65536)
        server.process.wait(timeout=30)

    assert answer.startswith(b"HTTP/1.1 201 ")
    assert server.process.returncode == 0


def test_an_unsafe_production_does_not_start(tmp_path: Path) -> None:
    environ = {
        "PATH": os.environ["PATH"],
        "ENVIRONMENT": "production",
        "DATA_DIR": str(tmp_path),
        "CA_ROOT_API_KEY": "short",
        "DISABLE_AUTH": "true",
        "RATE_LIMIT_ENABLED": "false",
        "CORS_ORIGINS": '["*"]',
    }
    done = subprocess.run(
        [sys.executable, "-c", SERVE],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    for name in ("CA_ROOT_API_KEY", "DISABLE_AUTH", "RATE_LIMIT_ENABLED", "KMS_BACKEND", "CORS_ORIGINS"):
        assert name in done.stderr
    assert "short\n" not in done.stderr
