"""SIGKILL at any moment of a backfill, and a restart, leave the rows that the provider has: none lost, none doubled."""

import random
import time
from collections import Counter
from datetime import date, timedelta
from decimal import Decimal

import pytest
from served import serving

from convergence.simulator import OpenAIWorld, Simulator, SimulatorServer

KEY = "sk-admin-killed-0123456789abcdefghij"
DAYS = 30
FIRST = date(2026, 10, 1)
KILLS = 50
SEED = 20261121


@pytest.fixture
def simulator():
    simulated = Simulator(seed=SEED)
    world = OpenAIWorld(SEED, end_day=FIRST + timedelta(days=DAYS), days=DAYS, rows_per_day=20)
    simulated.add_account(KEY, world)
    with SimulatorServer(simulated) as server:
        yield server


@pytest.fixture
def server(tmp_path, simulator):
    with serving(
        tmp_path / "data",
        OPENAI_BASE_URL=simulator.base_urls["openai"],
        LEASE_SECONDS="5",
        HEARTBEAT_SECONDS="1",
        RETRY_BACKOFF_SECONDS="0",
    ) as started:
        yield started


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fifty_kills_during_backfills_leave_the_truth(server, simulator):
    server.root("/admin/bootstrap")
    key = server.onboard("acme")
    server.post("/integrations/acme/openai/setup", key, {"credential": KEY})
    chance = random.Random(SEED)
    kills = rounds = 0
    while kills < KILLS:
        if rounds:  # the provider changes its mind about some days: the next backfill has rows to replace
            days = [FIRST + timedelta(days=chance.randrange(DAYS)) for _ in range(6)]
            simulator.simulator.revise("restate", days, share=0.3)
        rounds += 1
        kills += _backfill_under_fire(server, key, chance, KILLS - kills)
    assert _rows(server, key) == _expected_rows(simulator)
    assert _sums(server, key) == _expected_sums(simulator)
    assert _costs(server, key) == _expected_costs(simulator)
    assert _focus(server, key) == _expected_costs(simulator)
    assert _doubled(server, key) == []
    assert _quota(server, key) == {"pipelines_today": rounds, "pipelines_this_month": rounds, "pipelines_running": 0}


def _backfill_under_fire(server, key, chance, kills_wanted):
    """Run one backfill to its end, killing the server again and again; how often it was killed."""
    last = FIRST + timedelta(days=DAYS - 1)
    body = {"start_date": FIRST.isoformat(), "end_date": last.isoformat(), "chunk_days": 5}
    accepted = server.post("/pipelines/backfill/acme/openai/usage_cost", key, body)
    runs = [run["pipeline_logging_id"] for run in accepted["runs"]]
    kills = 0
    while kills < kills_wanted:
        time.sleep(chance.random() * 0.7)
        if all(server.get(f"/pipelines/runs/{run}", key)["status"] == "COMPLETED" for run in runs):
            return kills
        server.kill()
        kills += 1
        server.start()
    assert [server.finish(key, run, seconds=300)["status"] for run in runs] == ["COMPLETED"] * len(runs)
    return kills


def _truth(simulator):
    return simulator.simulator.truth(KEY)


def _rows(server, key):
    sql = "SELECT endpoint, usage_date, COUNT(*) AS n FROM openai_usage_daily_raw GROUP BY endpoint, usage_date"
    return {(row["endpoint"], row["usage_date"]): row["n"] for row in server.query("acme", key, sql)}


def _expected_rows(simulator):
    return {
        (endpoint, day): count
        for endpoint, days in _truth(simulator)["rows"].items()
        for day, count in days.items()
        if endpoint != "costs" and count
    }


def _sums(server, key):
    sums = "SUM(input_tokens) AS input_tokens, SUM(output_tokens) AS output_tokens"
    sql = f"SELECT {sums} FROM openai_usage_daily_raw WHERE endpoint = 'completions'"
    return server.query("acme", key, sql)[0]


def _expected_sums(simulator):
    usage = _truth(simulator)["usage"]["completions"]
    return {name: usage[name] for name in ("input_tokens", "output_tokens")}


def _costs(server, key):
    report = server.get("/costs/acme", key, start_date=FIRST.isoformat(), end_date="2026-10-30", granularity="day")
    return {row["day"]: Decimal(row["billed_cost"]) for row in report["rows"] if Decimal(row["billed_cost"])}


def _focus(server, key):
    sql = "SELECT x_UsageDate AS day, SUM(BilledCost) AS amount FROM focus_cost_daily GROUP BY day"
    rows = server.query("acme", key, sql)
    return {row["day"]: Decimal(row["amount"]) for row in rows if Decimal(row["amount"])}


def _expected_costs(simulator):
    return {day: amount for day, amount in _truth(simulator)["cost"]["by_day"].items() if amount}


def _doubled(server, key):
    names = "usage_date, endpoint, project_id, user_id, api_key_id, model, batch, service_tier, size, source"
    names += ", context_level, vector_store_id"
    sql = f"SELECT {names}, COUNT(*) AS n FROM openai_usage_daily_raw GROUP BY {names} HAVING COUNT(*) > 1"
    return server.query("acme", key, sql)


def _quota(server, key):
    return Counter(server.get("/organizations/acme", key)["usage"])
