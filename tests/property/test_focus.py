"""Whatever was billed, priced and mapped, FOCUS hands out exactly what was billed."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from step_bench import CONFIGS, Bench, open_bench

from convergence.catalog import Catalog
from convergence.costs.identity.service import replace_identity_mapping
from convergence.kit.clock import ManualClock
from convergence.kit.window import Window
from convergence.simulator import OpenAIWorld, Simulator, SimulatorServer
from convergence.warehouse import WriteMode
from convergence.warehouse.arrow import build_arrow_schema

DAY, NEXT = date(2026, 11, 1), date(2026, 11, 2)
WINDOW = Window(DAY, date(2026, 11, 3))
KEY = "sk-admin-test-0123456789abcdef"
SCHEMA = Catalog(CONFIGS).schema("openai_cost_daily")
nanos = st.integers(-(10**13), 10**13).map(lambda units: Decimal(units).scaleb(-9))
people = st.sampled_from([None, "user-1", "ada@example.com", "Bob@example.com"])
charges = st.fixed_dictionaries(
    {
        "usage_date": st.sampled_from([DAY, NEXT]),
        "project_id": st.sampled_from([None, "proj_1", 'proj "2"']),
        "api_key_id": st.sampled_from([None, "key_1", "key_2"]),
        "user_id": people,
        "model": st.sampled_from([None, "gpt-5", 'odd "model" \\ name']),
        "token_class": st.sampled_from([None, "input", "cached_input", "output", "not known"]),
        "line_item": st.sampled_from([None, "a fee"]),
        "quantity": st.integers(0, 10**12).map(Decimal),
        "unit": st.sampled_from([None, "Tokens", "Seconds"]),
        "list_unit_price": st.sampled_from([None, Decimal("1.25")]),
        "pricing_unit": st.sampled_from([None, "1000000 Tokens", "Minutes"]),
        "list_cost": st.none() | nanos,
        "billed_cost": nanos,
        "currency": st.sampled_from(["USD", "EUR"]),
        "cost_source": st.sampled_from(["provider", "allocated", "estimated"]),
    }
)
mappings = st.fixed_dictionaries(
    {
        "person": st.sampled_from(["ada@example.com", "bob@example.com"]),
        "team": st.sampled_from(["red", "blue"]),
        "cost_center": st.sampled_from([None, "CC-1"]),
        "valid_from": st.sampled_from([None, DAY, NEXT]),
        "valid_to": st.sampled_from([None, NEXT]),
    }
)


@pytest.fixture
def runner(tmp_path: Path) -> Any:
    with SimulatorServer(Simulator(clock=ManualClock(datetime(2026, 11, 20, tzinfo=UTC)))) as server:
        yield lambda rows, mapping: asyncio.run(hand_out(server, tmp_path, rows, mapping))


async def hand_out(server: Any, folder: Path, rows: list[Any], mapping: list[Any]) -> tuple[Any, Any]:
    async with open_bench(server, OpenAIWorld, folder, "openai", KEY) as bench:
        table = bench.org.table(SCHEMA.name)
        await bench.warehouse.ensure(table, SCHEMA)
        lineage = {"ingestion_date": DAY, "ingestion_timestamp": datetime(2026, 11, 3, tzinfo=UTC)}
        filled = [{**row, **lineage, "pipeline_logging_id": "run"} for row in rows]
        batch = pa.RecordBatch.from_pylist(filled, schema=build_arrow_schema(SCHEMA))

        async def batches() -> Any:
            yield batch

        await bench.warehouse.load(table, batches(), mode=WriteMode.OVERWRITE)
        await replace_identity_mapping(bench.warehouse, Catalog(CONFIGS), bench.org, mapping)
        await bench.run("focus.build", WINDOW, config={"providers": ("openai",)})
        return await _sum(bench, "focus"), await _sum(bench, "costs")


async def _sum(bench: Bench, what: str) -> list[Any]:
    """By day and currency: rows and money, once through the teams and once as billed."""
    text = {
        "focus": "SELECT day, currency, SUM(n) AS n, SUM(amount) AS amount FROM (SELECT x_UsageDate AS day,"
        " BillingCurrency AS currency, x_Team AS team, x_Person AS person, COUNT(*) AS n, SUM(BilledCost) AS amount"
        " FROM focus_cost_daily GROUP BY day, currency, team, person) AS teams GROUP BY day, currency ORDER BY 1, 2",
        "costs": "SELECT usage_date AS day, currency, COUNT(*) AS n, SUM(billed_cost) AS amount FROM openai_cost_daily"
        " GROUP BY day, currency ORDER BY 1, 2",
    }[what]
    return await bench.rows(text)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(charges, max_size=12), st.lists(mappings, max_size=4))
def test_what_is_attributed_sums_to_what_is_billed(runner: Any, rows: list[Any], mapping: list[Any]) -> None:
    handed_out, billed = runner(rows, mapping)

    assert handed_out == billed
