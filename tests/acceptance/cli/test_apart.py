"""Processes that share BigQuery and Redis: an API, a worker and a scheduler apart, and an API of two processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from redis_server import running_redis
from served import Program, Server, free_port
from shell import KEY

pytestmark = pytest.mark.slow
RANGE = {"start_date": "2026-11-01", "end_date": "2026-11-05"}


@pytest.fixture(scope="module")
def environment(tmp_path_factory, bigquery_emulator) -> Iterator[dict[str, str]]:
    with running_redis(tmp_path_factory.mktemp("redis")) as redis:
        yield {
            "WAREHOUSE": "bigquery",
            "GCP_PROJECT_ID": bigquery_emulator.project(),
            "BIGQUERY_API_ENDPOINT": bigquery_emulator.endpoint,
            "LOCK_BACKEND": "redis",
            "QUEUE_BACKEND": "redis",
            "REDIS_URL": redis.url,
            "LEASE_SECONDS": "5",
            "HEARTBEAT_SECONDS": "1",
        }


def _wait_for_health(port: int, program: Program) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and program.is_running:
        try:
            if httpx2.get(f"http://127.0.0.1:{port}/health/live", timeout=5, trust_env=False).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
    raise AssertionError(program.log.read_text()[-3000:])


def _children(program: Program) -> int:
    pid = program._process.pid
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    commands = [Path(f"/proc/{child}/cmdline").read_bytes() for child in found]
    return sum(b"spawn_main" in command for command in commands)


def test_an_api_of_two_processes_answers_from_both_and_ends_with_them(tmp_path, environment) -> None:
    server = Server(tmp_path / "data", "--no-worker", **environment, API_WORKERS="2")
    try:
        server.start()
        processes = _children(server)
        server.root("/admin/bootstrap")
        key = server.onboard("twofold")
        answers = [server.get("/organizations/twofold", key)["org_slug"] for _ in range(6)]
        code = server.stop()
    finally:
        server.close()

    assert processes == 2
    assert answers == ["twofold"] * 6
    assert code == 0


def test_a_cancel_at_one_process_ends_the_run_in_another(tmp_path, environment, simulator) -> None:
    environment = {**environment, "OPENAI_BASE_URL": simulator.base_urls["openai"]}
    server = Server(tmp_path / "data", "--no-worker", **environment)
    worker = Program("worker", log=tmp_path / "worker.log", environment=server.environment)
    try:
        server.start()
        server.root("/admin/bootstrap")
        key = server.onboard("apart")
        server.post("/integrations/apart/openai/setup", key, {"credential": KEY})
        run = server.post("/pipelines/run/apart/openai/usage_cost", key, RANGE)["pipeline_logging_id"]
        worker.start()
        _wait_for_status(server, key, run, "RUNNING")
        server.post(f"/pipelines/runs/{run}/cancel", key)
        ended = server.finish(key, run, seconds=30)
        code = worker.stop()
    finally:
        worker.close()
        server.close()

    assert ended["status"] == "CANCELLED"
    assert ended["worker_instance"].split(":")[1] == str(worker._process.pid)
    assert code == 0


def _wait_for_status(server: Server, key: str, run: str, status: str) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        if server.get(f"/pipelines/runs/{run}", key)["status"] == status:
            return
        time.sleep(0.02)
    raise AssertionError(f"never {status}")


def test_a_worker_of_cloud_tasks_answers_deliveries_and_health_alone(tmp_path, environment) -> None:
    port = free_port()
    environment = {
        **environment,
        "DATA_DIR": str(tmp_path / "data"),
        "API_PORT": str(port),
        "QUEUE_BACKEND": "cloud_tasks",
        "CLOUD_TASKS_QUEUE": "projects/p/locations/l/queues/q",
        "CLOUD_TASKS_TARGET_URL": f"http://127.0.0.1:{port}",
        "CLOUD_TASKS_SERVICE_ACCOUNT": "tasks@p.iam.gserviceaccount.com",
        "CLOUD_TASKS_API_ENDPOINT": "127.0.0.1:9",
    }
    worker = Program("worker", log=tmp_path / "worker.log", environment=environment).start()
    try:
        _wait_for_health(port, worker)
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            run = client.post("/api/v1/tasks/run", json={"org_slug": "acme", "run_id": "run_0"})
            other = client.get("/api/v1/pipelines")
            ready = client.get("/health/ready")
        code = worker.stop()
    finally:
        worker.close()

    assert (run.status_code, other.status_code) == (401, 404)
    assert (ready.status_code, ready.json()["detail"]) == (503, "down: queue")
    assert code == 0


def test_a_scheduler_apart_runs_until_it_is_told_to_stop(tmp_path, environment) -> None:
    environment = {**environment, "DATA_DIR": str(tmp_path / "data")}
    scheduler = Program("scheduler", log=tmp_path / "scheduler.log", environment=environment).start()
    try:
        _wait_for_line(scheduler, "started")
        code = scheduler.stop()
    finally:
        scheduler.close()

    assert code == 0


def _wait_for_line(program: Program, text: str) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and program.is_running:
        if text in program.log.read_text():
            return
        time.sleep(0.05)
    raise AssertionError(program.log.read_text()[-3000:])
