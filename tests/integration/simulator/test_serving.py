from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import httpx2
import pytest

from convergence.simulator import (
    DEMO_KEY,
    FaultRule,
    OpenAIWorld,
    Simulator,
    SimulatorProcess,
    SimulatorServer,
)

END_DAY = date(2026, 11, 20)
COSTS = "organization/costs?start_time=1792540800&end_time=1795132800&limit=5&group_by=line_item"


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    simulator = Simulator()
    simulator.add_account(DEMO_KEY, OpenAIWorld(7, end_day=END_DAY, rows_per_day=40))
    with SimulatorServer(simulator) as running:
        yield running


@pytest.fixture
def client(server: SimulatorServer) -> Iterator[httpx2.Client]:
    headers = {"authorization": f"Bearer {DEMO_KEY}"}
    with httpx2.Client(base_url=server.base_urls["openai"], headers=headers, timeout=10) as opened:
        yield opened


def raw_answer(server: SimulatorServer, path: str) -> bytes:
    """Everything the server sends before it hangs up."""
    request = f"GET /openai/v1/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {DEMO_KEY}\r\n\r\n"
    received = bytearray()
    with socket.create_connection((server.host, server.port), timeout=10) as connection:
        connection.sendall(request.encode())
        try:
            while piece := connection.recv(65_536):
                received.extend(piece)
        except ConnectionResetError:
            received.extend(b"<reset>")
    return bytes(received)


def noted(server: SimulatorServer, count: int) -> list[str | None]:
    """Faults of the first `count` requests; the last is written down a moment after its answer."""
    deadline = time.monotonic() + 60
    while len(server.simulator.journal.entries()) < count and time.monotonic() < deadline:
        time.sleep(0.005)
    return [entry.fault for entry in server.simulator.journal.entries()]


def announced(answer: bytes) -> tuple[int, int]:
    """Content-Length and the true length of the body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    return int(lines[b"content-length"]), len(body)


def test_a_server_listens_on_loopback_only(server: SimulatorServer, client: httpx2.Client) -> None:
    assert (
        server.base_urls.items()
        >= {"anthropic": f"{server.url}/anthropic", "openai": f"{server.url}/openai/v1"}.items()
    )
    assert all(url.startswith(f"{server.url}/") for url in server.base_urls.values())
    assert client.get("organization/projects").status_code == 200


@pytest.mark.parametrize("kind", ["reset", "reset_mid_body", "truncated"])
def test_a_broken_line_is_a_transport_error(server: SimulatorServer, client: httpx2.Client, kind: str) -> None:
    server.simulator.faults.add(FaultRule(kind=kind, count=1))

    with pytest.raises(httpx2.TransportError):
        client.get(COSTS)

    assert client.get(COSTS).status_code == 200
    assert noted(server, 2) == [kind, None]


def test_truncated_announces_more_than_it_sends(server: SimulatorServer) -> None:
    server.simulator.faults.add(FaultRule(kind="truncated"))

    length, sent = announced(raw_answer(server, COSTS))

    assert sent == length // 2 > 0


def test_wrong_length_announces_less_than_it_sends(server: SimulatorServer) -> None:
    server.simulator.faults.add(FaultRule(kind="wrong_length"))

    length, sent = announced(raw_answer(server, COSTS))

    assert length == sent // 2 > 0


def test_reset_sends_nothing(server: SimulatorServer) -> None:
    server.simulator.faults.add(FaultRule(kind="reset"))

    assert raw_answer(server, COSTS) in {b"", b"<reset>"}


def test_slow_waits_before_the_answer(server: SimulatorServer, client: httpx2.Client) -> None:
    server.simulator.faults.add(FaultRule(kind="slow", seconds=0.3))
    started = time.monotonic()

    response = client.get(COSTS)

    assert response.status_code == 200
    assert time.monotonic() - started >= 0.3


def test_drip_sends_the_whole_body_in_pieces(server: SimulatorServer, client: httpx2.Client) -> None:
    whole = client.get(COSTS).content
    server.simulator.faults.add(FaultRule(kind="drip", seconds=0.4))
    started = time.monotonic()

    body = client.get(COSTS).content

    assert body == whole
    assert time.monotonic() - started >= 0.35


def test_kept_bodies_are_the_same_and_follow_revisions() -> None:
    world = OpenAIWorld(7, end_day=END_DAY, rows_per_day=40)
    simulator = Simulator(keeps_bodies=True)
    simulator.add_account(DEMO_KEY, world)
    fresh = Simulator()
    fresh.add_account(DEMO_KEY, OpenAIWorld(7, end_day=END_DAY, rows_per_day=40))
    headers = {"authorization": f"Bearer {DEMO_KEY}"}
    with (
        SimulatorServer(simulator) as keeping,
        SimulatorServer(fresh) as rendering,
        httpx2.Client(headers=headers) as asks,
    ):
        url = f"{keeping.base_urls['openai']}/{COSTS}"
        bodies = [asks.get(url).content, asks.get(url).content]
        expected = asks.get(f"{rendering.base_urls['openai']}/{COSTS}").content
        world.revise("restate", world.window.days(), share=1)
        revised = asks.get(url).content

    assert bodies == [expected, expected]
    assert revised != expected


def test_a_process_prints_where_it_is_and_writes_the_truth(tmp_path: Path) -> None:
    truth_file = tmp_path / "truth.json"
    arguments = ["--seed", "3", "--days", "4", "--end-day", "2026-11-20", "--rows-per-day", "30"]
    report = "usage/completions?group_by=model&group_by=project_id"
    with SimulatorProcess([*arguments, "--truth-file", str(truth_file), "--prerender", report]) as process:
        headers = {"authorization": f"Bearer {process.key}"}
        truth = json.loads(truth_file.read_text())
        served = httpx2.get(f"{process.url}/_simulator/truth").json()
        projects = httpx2.get(f"{process.base_urls['openai']}/organization/projects", headers=headers).json()

    expected = OpenAIWorld(3, end_day=END_DAY, days=4, rows_per_day=30)
    assert truth == served
    assert truth["start"] == "2026-11-16"
    assert projects["data"][0]["id"] == expected.directory.projects[0].id


def test_a_report_that_cannot_be_prerendered_ends_the_process() -> None:
    command = [sys.executable, "-m", "convergence.simulator", "--days", "2", "--prerender", "costs?group_by=model"]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert ended.returncode != 0
    assert "group_by" in ended.stderr
