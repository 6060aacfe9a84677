"""SIGTERM in the middle of a backfill: out in time, with every record written, and the next start goes on."""

import asyncio
import random
import time

import msgspec
import pytest
from served import serving

from convergence.simulator import FaultRule
from convergence.sql import Statement
from convergence.state.memory import MemoryStateStore
from convergence.tenancy import PlatformScope
from convergence.warehouse.duckdb import DuckDBWarehouse

from .lab import KEYS, SEED, days

WINDOW = days(30)
GRACE_SECONDS = 20
ROUNDS = 2


@pytest.mark.slow
def test_a_server_that_is_told_to_stop_loses_no_record(lab, tmp_path):
    chance = random.Random(SEED)
    lab.simulator.simulator.faults.add(FaultRule(kind="slow", seconds=0.1, probability=0.1))
    with serving(
        tmp_path / "server", OPENAI_BASE_URL=lab.simulator.base_urls["openai"], LOG_LEVEL="DEBUG", LEASE_SECONDS="60"
    ) as server:
        server.root("/admin/bootstrap")
        key = server.onboard("acme")
        server.post("/integrations/acme/openai/setup", key, {"credential": KEYS["acme"]})
        body = {"start_date": str(WINDOW.start), "end_date": str(WINDOW.last), "chunk_days": 10}
        runs = [
            run["pipeline_logging_id"]
            for run in server.post("/pipelines/backfill/acme/openai/usage_cost", key, body)["runs"]
        ]
        ends = []
        for _ in range(ROUNDS):
            time.sleep(chance.uniform(0.3, 1.5))
            began = time.monotonic()
            code = server.stop()
            ends.append((code, time.monotonic() - began < GRACE_SECONDS))
            assert asyncio.run(_missing_records(server.data_dir)) == []
            server.start()
        finished = [server.finish(key, run) for run in runs]
        sql = "SELECT endpoint, usage_date, COUNT(*) AS n FROM openai_usage_daily_raw GROUP BY endpoint, usage_date"
        rows = {(row["endpoint"], row["usage_date"]): row["n"] for row in server.query("acme", key, sql)}
        server.stop()
        assert KEYS["acme"] not in server.log.read_text()
    assert ends == [(0, True)] * ROUNDS
    assert [run["status"] for run in finished] == ["COMPLETED"] * len(runs)
    assert {step["status"] for run in finished for step in run["steps"]} == {"COMPLETED"}
    assert rows == _expected_rows(lab)


async def _missing_records(data_dir):
    """Runs whose newest state, or a step of it, is not in the warehouse, as (run, step) pairs."""
    state, warehouse = MemoryStateStore(data_dir / "state" / "state.duckdb"), DuckDBWarehouse(data_dir)
    try:
        hot = [msgspec.json.decode(entry.value) async for entry in state.scan("run/")]
        sql = "SELECT pipeline_logging_id, step_id, status, record_version FROM org_meta_step_logs"
        found = (await warehouse.query(Statement(sql, PlatformScope().dataset))).to_pylist()
    finally:
        await warehouse.close()
        await state.close()
    assert hot
    recorded = {(row["pipeline_logging_id"], row["step_id"]): row["status"] for row in found}
    return [
        (run["run_id"], step["step_id"])
        for run in hot
        for step in run["steps"]
        if recorded.get((run["run_id"], step["step_id"])) != step.get("status", "PENDING")
    ]


def _expected_rows(lab):
    truth = lab.simulator.simulator.truth(KEYS["acme"])
    return {
        (endpoint, day): count
        for endpoint, counts in truth["rows"].items()
        for day, count in counts.items()
        if endpoint != "costs" and count
    }
