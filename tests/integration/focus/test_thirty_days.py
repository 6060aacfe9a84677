"""Thirty days of five providers, restated, in one table of FOCUS rows: the truth, and what other programs say of it."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import pytest_asyncio
from gcp_bench import GcpBench
from step_bench import CONFIGS, NOW, TODAY, Bench, last_days, open_bench

from convergence.catalog import Catalog
from convergence.costs.focus.build import FINANCE_VIEWS
from convergence.costs.focus.export import FocusExport
from convergence.costs.identity.service import replace_identity_mapping
from convergence.kit.clock import ManualClock
from convergence.kit.window import Window
from convergence.simulator import (
    AnthropicWorld,
    CursorWorld,
    DeepSeekWorld,
    OpenAIWorld,
    Simulator,
    SimulatorServer,
    build_export,
    zip_export,
)
from convergence.simulator.gcp import GcpBillingWorld
from convergence.sql import Statement
from convergence.tenancy import OrgScope

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAYS = last_days(30)
RESTATED = TODAY - timedelta(days=25)
STEPS = {
    "openai": ("openai.usage", "openai.reported_cost", "openai.directory", "openai.cost"),
    "anthropic": ("anthropic.usage", "anthropic.reported_cost", "anthropic.directory", "anthropic.cost"),
    "cursor": ("cursor.members", "cursor.usage_events", "cursor.cost"),
}
KEYS = {
    "openai": "sk-admin-test-0123456789abcdef",
    "anthropic": "sk-ant-admin01-test-0123456789abcdef",
    "cursor": "crsr_test0123456789abcdef",
    "deepseek": "sk-deepseek-test-0123456789abcdef",
}
WORLDS: dict[str, Any] = {
    "openai": OpenAIWorld(seed=7, end_day=TODAY, days=30, rows_per_day=2),
    "anthropic": AnthropicWorld(seed=7, end_day=TODAY, days=30, rows_per_day=2),
    "cursor": CursorWorld(seed=7, end_day=TODAY, days=30, rows_per_day=3),
    "deepseek": DeepSeekWorld(seed=7, end_day=TODAY, days=30, rows_per_day=2),
}
GCP = GcpBillingWorld(11, end_day=TODAY, rows_per_day=6, detailed=True)
SEATS_MONTH = date(2026, 11, 1)
TOOLS = Path(__file__).parents[3] / ".venv-focus"
SUPPORT = Path(__file__).parents[2] / "support" / "focus_tools"
# What these providers can tell. ALL would ask for commitments, capacity and zones of everybody.
CRITERIA = (
    "USAGE_MEASUREMENT_SUPPORTED",
    "UNIT_PRICING_SUPPORTED",
    "PUBLIC_PRICE_LIST_SUPPORTED",
    "SUB_ACCOUNT_SUPPORTED",
    "TAGGING_SUPPORTED",
    "NEGOTIATED_PRICING_SUPPORTED",
    "ACCOUNT_NAMING_SUPPORTED",
    "PRICING_BILLING_CURRENCY_DIFFERENCES_SUPPORTED",
    "MULTIPLE_SUB_ACCOUNT_TYPES_SUPPORTED",
    "MULTIPLE_BILLING_ACCOUNT_TYPES_SUPPORTED",
    "REGION_SUPPORTED",
)
FALSE_FAILURES = {
    "InvoiceId-C-005-C": "asks for an invoice id while InvoiceId-C-004-C asks for none: both are always evaluated",
}
FALSE_LINT = {
    "cost_not_unit_price_times_quantity": "Google rounds hours and bytes; a product of nine places differs in the last",
}
LAST_PLACES = Decimal("0.0000001")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    """Loaded once, restated by the providers, the restated days loaded again; FOCUS is asked for one day only."""
    folder: Path = tmp_path_factory.mktemp("focus")
    simulator = Simulator(clock=ManualClock(NOW))
    for provider, world in WORLDS.items():
        simulator.add_account(KEYS[provider], world, provider=provider)
    with SimulatorServer(simulator) as server:
        async with open_bench(server, WORLDS, folder, "openai", KEYS["openai"]) as made:
            simulator.clock = made.clock
            await load(made, DAYS)
            made.provider = "deepseek"
            files = build_export(WORLDS["deepseek"], DAYS, made.clock.now())
            await made.load_file(zip_export(files), "usage_data.zip", pipeline="deepseek-export")
            await GcpBench(made.warehouse, made.http, made.uploads, folder, made.clock).load_rows(GCP.rows(NOW))
            await pay_for_seats(made)
            await build(made, DAYS)
            for provider in STEPS:
                simulator.revise("restate", [RESTATED], share=0.5, key=KEYS[provider])
            await load(made, Window.day(RESTATED))
            await build(made, last_days(1))
            yield made


async def pay_for_seats(bench: Bench) -> None:
    schema = Catalog(CONFIGS).schema("cursor_subscriptions_monthly")
    await bench.warehouse.ensure(bench.org.table(schema.name), schema)
    names = ", ".join(column.name for column in schema.columns)
    await bench.warehouse.execute(
        Statement(
            f"INSERT INTO {schema.name} ({names}) VALUES (DATE '{SEATS_MONTH}', 'teams', 3, NUMERIC '40', 'month',"
            f" NUMERIC '120', 'USD', DATE '{TODAY}', TIMESTAMP '{NOW:%Y-%m-%d %H:%M:%S}+00', 'run_seats')",
            bench.org.dataset,
        )
    )


async def load(bench: Bench, window: Window) -> None:
    for provider, steps in STEPS.items():
        bench.provider, bench.key = provider, KEYS[provider]
        for step in steps:
            await bench.run(step, window)


async def build(bench: Bench, window: Window) -> dict[str, Any]:
    """All providers, as the pipeline of FOCUS alone has it."""
    return dict((await bench.run("focus.build", window, config={"providers": ()})).metadata)


async def sums(bench: Bench) -> dict[str, dict[str, Decimal]]:
    rows = await bench.rows(
        "SELECT x_DeliveryScope AS provider, x_UsageDate AS day, SUM(BilledCost) AS amount FROM focus_cost_daily"
        " GROUP BY provider, day"
    )
    found: dict[str, dict[str, Decimal]] = defaultdict(dict)
    for row in rows:
        if row["amount"]:
            found[row["provider"]][row["day"].isoformat()] = row["amount"]
    return dict(found)


def truth(bench: Bench) -> dict[str, dict[str, Decimal]]:
    told = {provider: bench.simulator.truth(key)["cost"]["by_day"] for provider, key in KEYS.items()}
    told["gcp"] = GCP.truth(NOW)["cost"]["by_day"]
    return {
        provider: {day: Decimal(amount) for day, amount in days.items() if Decimal(amount)}
        for provider, days in told.items()
    } | {"cursor/subscriptions": {SEATS_MONTH.isoformat(): Decimal(120)}}


async def export(bench: Bench, version: str, kind: str = "csv", org: OrgScope | None = None) -> bytes:
    made = FocusExport(bench.warehouse, Catalog(CONFIGS), org or bench.org, DAYS, version)
    return b"".join([piece async for piece in made.pieces(kind)])


def read(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


async def test_each_day_of_each_provider_is_the_truth_after_restatements(bench: Bench) -> None:
    assert await sums(bench) == truth(bench)


async def test_a_second_build_changes_nothing(bench: Bench) -> None:
    before = await bench.rows("SELECT * FROM focus_cost_daily ORDER BY x_UsageDate, x_Provider, SkuId, BilledCost")

    built = await build(bench, DAYS)

    after = await bench.rows("SELECT * FROM focus_cost_daily ORDER BY x_UsageDate, x_Provider, SkuId, BilledCost")
    assert built["days_replaced"] == 0
    assert len(after) == len(before)


async def test_removed_rows_come_back_and_rows_of_uploaded_files_stay(bench: Bench) -> None:
    day = RESTATED
    statement = "DELETE FROM focus_cost_daily WHERE x_UsageDate = @day AND x_DeliveryScope = 'anthropic'"
    assert await bench.warehouse.execute(Statement(statement, bench.org.dataset, {"day": day})) > 0
    columns = [column.name for column in Catalog(CONFIGS).schema("focus_cost_daily").columns]
    changed = {"x_DeliveryScope": "'file/aws'", "x_Provider": "'aws'", "BilledCost": "NUMERIC '5'"}
    copied = ", ".join(changed.get(name, name) for name in columns)
    await bench.warehouse.execute(
        Statement(
            f"INSERT INTO focus_cost_daily ({', '.join(columns)}) SELECT {copied} FROM focus_cost_daily"
            " WHERE x_DeliveryScope = 'openai' AND x_UsageDate = @day LIMIT 1",
            bench.org.dataset,
            {"day": day},
        )
    )

    await build(bench, last_days(1))

    assert await sums(bench) == {**truth(bench), "file/aws": {day.isoformat(): Decimal(5)}}
    await bench.warehouse.execute(
        Statement("DELETE FROM focus_cost_daily WHERE x_DeliveryScope = 'file/aws'", bench.org.dataset)
    )


async def test_a_new_mapping_moves_money_between_teams_and_none_in_or_out(bench: Bench) -> None:
    (row,) = await bench.rows(
        "SELECT x_Person AS person FROM focus_cost_daily WHERE x_Person IS NOT NULL"
        " GROUP BY person ORDER BY SUM(BilledCost) DESC LIMIT 1"
    )
    mapping = {"person": row["person"], "team": "research", "cost_center": "CC-7", "valid_from": None, "valid_to": None}
    await replace_identity_mapping(bench.warehouse, Catalog(CONFIGS), bench.org, [mapping])

    await build(bench, DAYS)

    teams = await bench.rows(
        "SELECT team, cost_center, SUM(billed_cost) AS amount FROM finance_spend_by_team GROUP BY team, cost_center"
    )
    spent = await bench.value(
        "SELECT SUM(BilledCost) AS amount FROM focus_cost_daily WHERE x_Person = @person", person=row["person"]
    )
    assert [(one["cost_center"], one["amount"]) for one in teams if one["team"] == "research"] == [("CC-7", spent)]
    assert sum(one["amount"] for one in teams) == sum(sum(days.values()) for days in truth(bench).values())
    assert await sums(bench) == truth(bench)


async def test_every_view_of_finance_has_all_of_the_money(bench: Bench) -> None:
    total = await bench.value("SELECT SUM(BilledCost) AS amount FROM focus_cost_daily")

    found = {name: await bench.value(f"SELECT SUM(billed_cost) AS amount FROM {name}") for name in FINANCE_VIEWS}

    assert found == dict.fromkeys(FINANCE_VIEWS, total)


async def test_estimates_are_never_billed_and_what_has_no_price_says_so(bench: Bench) -> None:
    rows = await bench.rows(
        "SELECT DISTINCT BilledCost = 0 AS is_free, EffectiveCost > 0 AS is_worth FROM focus_cost_daily"
        " WHERE x_CostSource = 'estimated'"
    )
    unpriced = await bench.rows(
        "SELECT DISTINCT ListUnitPrice IS NULL AND SkuPriceId IS NULL AND ListCost = BilledCost AS is_plain"
        " FROM focus_cost_daily WHERE x_Unpriced AND x_Provider != 'gcp'"
    )

    assert {row["is_free"] for row in rows} == {True}
    assert True in {row["is_worth"] for row in rows}
    assert unpriced == [{"is_plain": True}]


async def test_seats_are_bought_and_used_in_a_month_beside_the_usage(bench: Bench) -> None:
    rows = await bench.rows(
        "SELECT ChargeCategory, PricingQuantity, ListUnitPrice, BilledCost, EffectiveCost, ConsumedQuantity,"
        " CAST(ChargePeriodEnd AS DATE) AS `end`, x_CostSource FROM focus_cost_daily"
        " WHERE x_DeliveryScope = 'cursor/subscriptions' ORDER BY ChargeCategory"
    )

    assert [tuple(row.values()) for row in rows] == [
        ("Purchase", 3, 40, 120, 0, None, date(2026, 12, 1), "subscription"),
        ("Usage", 3, None, 0, 120, 3, date(2026, 12, 1), "subscription"),
    ]


async def test_a_correction_keeps_its_day_and_is_billed_with_the_later_invoice(bench: Bench) -> None:
    rows = await bench.rows(
        "SELECT x_UsageDate AS day, CAST(BillingPeriodStart AS STRING) AS start FROM focus_cost_daily"
        " WHERE ChargeClass = 'Correction'"
    )

    assert rows
    assert all(row["day"] < date(2026, 11, 1) and row["start"].startswith("2026-11-01 07:00:00") for row in rows)


async def test_exports_hold_the_same_money_as_text_and_as_decimals(bench: Bench) -> None:
    old, new = read(await export(bench, "1.2")), read(await export(bench, "1.4"))
    table = pyarrow.parquet.read_table(io.BytesIO(await export(bench, "1.4", "parquet")))

    expected = await bench.value(
        "SELECT SUM(BilledCost) AS amount FROM focus_cost_daily WHERE x_UsageDate >= @first AND x_UsageDate < @end",
        first=DAYS.start,
        end=DAYS.end,
    )
    assert (len(old[0]), len([name for name in new[0] if not name.startswith("x_")])) == (57, 65)
    assert [sum(Decimal(row["BilledCost"]) for row in rows) for rows in (old, new)] == [expected, expected]
    assert sum(table["BilledCost"].to_pylist()) == expected
    assert table.column_names == list(new[0])
    assert all("." in row["ConsumedQuantity"] for row in new if row["ConsumedQuantity"])


async def test_another_organization_exports_a_header_alone(bench: Bench) -> None:
    rival = OrgScope("rival")
    await bench.warehouse.ensure_dataset(rival.dataset)

    found = (await export(bench, "1.4", org=rival)).decode().splitlines()
    table = pyarrow.parquet.read_table(io.BytesIO(await export(bench, "1.2", "parquet", rival)))

    assert found == (await export(bench, "1.4")).decode().splitlines()[:1]
    assert (table.num_rows, table.num_columns) == (0, 57)


@pytest.mark.timeout(900)
async def test_the_official_validator_takes_the_export_of_1_2(bench: Bench, tmp_path: Path) -> None:
    python = TOOLS / "validator" / "bin" / "python"
    if not python.exists():
        pytest.skip("the FOCUS validator needs Python 3.12, which was not found: install it, then make focus-tools")
    path = tmp_path / "focus.csv"
    path.write_bytes(await export(bench, "1.2"))

    said = run_tool(python, SUPPORT / "validate.py", path, ",".join(CRITERIA)).splitlines()[-1]

    told = json.loads(said)
    assert told["rules"] > 500
    assert told["broken"].keys() == FALSE_FAILURES.keys()


async def test_the_lint_of_1_4_takes_the_export(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "focus.csv"
    path.write_bytes(await export(bench, "1.4"))

    said = run_tool(TOOLS / "lint" / "bin" / "focus-toolkit", "validate", "--dataset", "cost-and-usage", path)

    faults = [line for line in said.splitlines() if "_VALID:" in line and "lint OK" not in line]
    assert [line for line in faults if not any(f":{rule}]" in line for rule in FALSE_LINT)] == []
    priced = [row for row in read(path.read_bytes()) if row["ListUnitPrice"]]
    assert max(abs(_product(row) - Decimal(row["ListCost"])) for row in priced) < LAST_PLACES


def _product(row: dict[str, str]) -> Decimal:
    return Decimal(row["ListUnitPrice"]) * Decimal(row["PricingQuantity"])


def run_tool(*command: Any) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=800, check=False)
    return done.stdout + done.stderr
