"""The way of a new user, from nothing to their costs."""

from decimal import Decimal

import pytest

from convergence.simulator import SimulatorServer

from .conftest import ADMIN_KEY, Api, days


@pytest.mark.parametrize("working_api", ["duckdb", "bigquery"], indirect=True)
async def test_from_bootstrap_to_costs(working_api: Api, simulator: SimulatorServer) -> None:
    api = working_api
    truth = simulator.simulator.truth(ADMIN_KEY)
    key = await api.onboard("acme")

    setup = await api.send("POST", "/integrations/acme/openai/setup", key, json={"credential": ADMIN_KEY})
    accepted = await api.send("POST", "/pipelines/run/acme/openai/usage_cost", key, json=days())
    run = await api.wait_for(key, accepted.json()["pipeline_logging_id"])
    tokens = await api.send(
        "POST", "/query/acme", key, json={"sql": "SELECT SUM(input_tokens) AS tokens FROM openai_usage_daily_raw"}
    )
    costs = await api.send("GET", "/costs/acme", key, params={**days(), "granularity": "total"})

    assert (setup.status_code, accepted.status_code, run["status"]) == (200, 202, "COMPLETED")
    assert Decimal(costs.json()["total"]["billed_cost"]) == Decimal(truth["cost"]["total"])
    used = sum(by_class.get("input_tokens", 0) for by_class in truth["usage"].values())
    assert tokens.json()["rows"] == [{"tokens": used}]
