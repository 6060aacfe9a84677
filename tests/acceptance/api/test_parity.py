"""The same thirty days in both warehouses: the same tables, the same rows, the same cents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from bigquery_emulator import BigQueryEmulator

from convergence.catalog.schemas import LINEAGE_COLUMNS
from convergence.simulator import OpenAIWorld, Simulator, SimulatorServer
from convergence.sql import Statement
from convergence.tenancy import OrgScope

from .conftest import ADMIN_KEY, LAST, TODAY, Api, days, on_bigquery, open_api

DAYS = 30
FIRST = TODAY - timedelta(days=DAYS)
ACME = OrgScope("acme")
# Who wrote a row and when; and what is about one warehouse and not about costs.
OWN_COLUMNS = {*LINEAGE_COLUMNS, "last_seen_at", "x_RunId"}
OWN_TABLES = {"org_comprehensive_view", "onboarding_validation_test"}


@pytest.fixture
def provider() -> Iterator[SimulatorServer]:
    simulated = Simulator()
    simulated.add_account(ADMIN_KEY, OpenAIWorld(end_day=TODAY, days=DAYS, rows_per_day=5, steady=True))
    with SimulatorServer(simulated) as server:
        yield server


@pytest.mark.slow
async def test_every_table_is_the_same_after_thirty_days_and_a_restatement(
    tmp_path: Path, provider: SimulatorServer, bigquery_emulator: BigQueryEmulator
) -> None:
    url = {"OPENAI_BASE_URL": provider.base_urls["openai"], "SHRINK_RECHECK_SECONDS": "0"}
    async with AsyncExitStack() as stack:
        apis = [
            await stack.enter_async_context(open_api(tmp_path / "duckdb", work=True, **url)),
            await stack.enter_async_context(
                open_api(tmp_path / "bigquery", work=True, **url, **on_bigquery(bigquery_emulator))
            ),
        ]
        keys = [await _set_up(api) for api in apis]
        first = [await _load(api, key) for api, key in zip(apis, keys, strict=True)]
        provider.simulator.revise("restate", [FIRST, LAST], share=0.5)
        second = [await _load(api, key) for api, key in zip(apis, keys, strict=True)]
        totals = [
            (await api.send("GET", "/costs/acme", key, params={**days(FIRST), "granularity": "total"})).json()["total"]
            for api, key in zip(apis, keys, strict=True)
        ]
        truth = provider.simulator.truth(ADMIN_KEY)

    assert first[0].keys() == first[1].keys()
    assert [name for name in first[0] if first[0][name] != first[1][name]] == []
    assert [name for name in second[0] if second[0][name] != second[1][name]] == []
    assert first[0] != second[0]
    assert [Decimal(total["billed_cost"]) for total in totals] == [Decimal(truth["cost"]["total"])] * 2


async def _set_up(api: Api) -> str:
    await api.bootstrap()
    key = await api.onboard("acme", "SCALE")
    body = {"credential": ADMIN_KEY}
    (await api.send("POST", "/integrations/acme/openai/setup", key, json=body)).raise_for_status()
    return key


async def _load(api: Api, key: str) -> dict[str, Counter[str]]:
    """Every row of every table of the organization, after a run over all days."""
    accepted = await api.send("POST", "/pipelines/run/acme/openai/usage_cost", key, json=days(FIRST))
    run = await api.wait_for(key, accepted.json()["pipeline_logging_id"])
    assert run["status"] == "COMPLETED", run
    warehouse = api.app.state.platform.warehouse
    names = [name for name in await warehouse.tables(ACME.dataset) if name not in OWN_TABLES]
    found = {name: await warehouse.query(Statement(f"SELECT * FROM {name}", ACME.dataset)) for name in names}
    return {name: Counter(map(_text, table.to_pylist())) for name, table in found.items()}


def _text(row: dict[str, Any]) -> str:
    return repr({name: value for name, value in row.items() if name not in OWN_COLUMNS})
