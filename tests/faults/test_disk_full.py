"""The disk is full while days are loaded: what is committed can be read, and the run ends when there is space again."""

import resource
import time
from decimal import Decimal

import pytest
from served import serving

from .lab import KEYS, days

FIRST_DAYS, ALL_DAYS = days(5), days(30)
ROOM_BYTES = 100_000


@pytest.mark.slow
def test_a_full_disk_costs_no_committed_row_and_the_run_goes_on(lab, tmp_path):
    lab.stage(days=30, rows_per_day=300)
    with serving(
        tmp_path / "server",
        OPENAI_BASE_URL=lab.simulator.base_urls["openai"],
        RETRY_BACKOFF_SECONDS="1",
        LEASE_SECONDS="10",
        HEARTBEAT_SECONDS="1",
    ) as server:
        server.root("/admin/bootstrap")
        key = server.onboard("acme")
        server.post("/integrations/acme/openai/setup", key, {"credential": KEYS["acme"]})
        assert _run(server, key, FIRST_DAYS)["status"] == "COMPLETED"
        committed = _count(server, key)
        run_id = _start(server, key, ALL_DAYS)
        _limit_files(server, _largest_file(server.data_dir) + ROOM_BYTES)
        said = _await_trouble(server, key, run_id)
        during = server.get("/costs/acme", key, start_date=str(FIRST_DAYS.start), end_date=str(FIRST_DAYS.last))
        _limit_files(server, resource.RLIM_INFINITY)
        finished = server.finish(key, run_id)
        expected = lab.simulator.simulator.truth(KEYS["acme"])
        rows = sum(n for name, counts in expected["rows"].items() if name != "costs" for n in counts.values())
        total = server.get("/costs/acme", key, start_date=str(ALL_DAYS.start), end_date=str(ALL_DAYS.last))["total"]
        after = _count(server, key)
    assert committed > 0
    assert Decimal(during["total"]["billed_cost"]) > 0
    assert "disk" in said
    assert finished["status"] == "COMPLETED"
    assert after == rows
    assert Decimal(total["billed_cost"]) == expected["cost"]["total"]


def _start(server, key, window):
    body = {"start_date": str(window.start), "end_date": str(window.last)}
    return server.post("/pipelines/run/acme/openai/usage_cost", key, body)["pipeline_logging_id"]


def _run(server, key, window):
    return server.finish(key, _start(server, key, window))


def _count(server, key):
    return server.query("acme", key, "SELECT COUNT(*) AS n FROM openai_usage_daily_raw")[0]["n"]


def _largest_file(folder):
    return max(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _limit_files(server, size):
    """No file of the server may grow beyond this size: a write that would is refused, as on a full disk."""
    resource.prlimit(server._process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def _await_trouble(server, key, run_id):
    """What the run says of the disk while it waits for another try."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        run = server.get(f"/pipelines/runs/{run_id}", key)
        errors = [step["error_message"] for step in run["steps"] if step.get("error_message")]
        if run["error_message"] or errors:
            return run["error_message"] or errors[0]
        time.sleep(0.05)
    raise AssertionError(f"no trouble: {run}")
