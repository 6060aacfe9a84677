"""Thirty simulated days of providers that bill otherwise: by exports, by included usage, by invoice months."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from gcp_bench import open_gcp_bench
from step_bench import NOW, TODAY, last_days, open_bench

from convergence.costs.reconciliation.figures import Ledger, reconcile
from convergence.costs.reconciliation.judgement import DEFAULT_TOLERANCE, EXPLAINED, MATCHED, MISSING, Reconciliation
from convergence.kit.clock import ManualClock
from convergence.kit.window import Window
from convergence.processors.reconciliation import conservation
from convergence.simulator import (
    CursorWorld,
    DeepSeekWorld,
    Simulator,
    SimulatorServer,
    build_export,
    zip_export,
)
from convergence.simulator.gcp import GcpBillingWorld, write_parquet
from convergence.tenancy import OrgScope
from convergence.warehouse import Warehouse

from .conftest import CATALOG

WINDOW = last_days(30)


async def compare(
    warehouse: Warehouse, org: OrgScope, granularity: str, window: Window = WINDOW, today: date = TODAY
) -> list[Reconciliation]:
    ledger = Ledger(warehouse, CATALOG, org)
    return await reconcile(ledger, window, granularity, today=today, tolerance=DEFAULT_TOLERANCE)


def total(found: Sequence[Reconciliation], reason: str) -> Decimal:
    return sum((one.explained_by.get(reason, Decimal(0)) for one in found), Decimal(0))


async def test_exports_of_deepseek_match_on_every_day(tmp_path: Path) -> None:
    key, world = "sk-deepseek-test-0123456789abcdef", DeepSeekWorld(seed=11, end_day=TODAY, days=30, steady=True)
    simulator = Simulator(clock=ManualClock(NOW))
    simulator.add_account(key, world, provider="deepseek")
    with SimulatorServer(simulator) as server:
        async with open_bench(server, world, tmp_path, "deepseek", key) as bench:
            files = zip_export(build_export(world, WINDOW, bench.clock.now(), None))
            done = await bench.load_file(files, "usage_data.zip", pipeline="deepseek-export")
            days = await compare(bench.warehouse, bench.org, "day")
    (conserved,) = done["validate_conservation"].metadata["conserved"]
    assert [(one.status, one.residual) for one in days] == [(MATCHED, 0)] * 30
    assert conserved["raw"] == conserved["daily"] == conserved["focus"]


async def test_what_cursor_s_plan_includes_is_free_and_the_rest_discounted(tmp_path: Path) -> None:
    key, world = "crsr_test0123456789abcdef", CursorWorld(seed=11, end_day=TODAY, days=30, rows_per_day=20)
    simulator = Simulator(clock=ManualClock(NOW))
    simulator.add_account(key, world, provider="cursor")
    with SimulatorServer(simulator) as server:
        async with open_bench(server, world, tmp_path, "cursor", key) as bench:
            simulator.clock = bench.clock
            for step in ("cursor.usage_events", "cursor.cost"):
                await bench.run(step, WINDOW)
            days, truth = await compare(bench.warehouse, bench.org, "day"), bench.truth()
    assert sum(one.provider_reported or 0 for one in days) == truth["cost"]["total"]
    assert sum(one.usage_x_price or 0 for one in days) == sum(truth["list_cost"]["by_day"].values())
    assert {one.status for one in days} == {EXPLAINED}
    assert {reason for one in days for reason in one.explained_by} == {"free_tier", "discounts"}


async def test_invoice_months_of_google_hold_what_google_invoices(tmp_path: Path) -> None:
    later = datetime(2026, 12, 20, tzinfo=UTC)  # late rows, corrections and the tax of November have come
    world = GcpBillingWorld(11, end_day=date(2026, 11, 20), rows_per_day=25)
    window = Window(date(2026, 10, 1), date(2026, 12, 1))
    async with open_gcp_bench(tmp_path, now=later) as bench:
        results = await bench.load(write_parquet(world.rows(later), bench.folder / "export.parquet"))
        context = bench.context("gcp-export", "validate_conservation", None, results=results)
        proved = await conservation.get_engine().execute({"provider": "gcp"}, context)
        months = await compare(bench.warehouse, bench.org, "month", window, later.date())
    truth = world.truth(later)["cost"]
    assert {one.period.strftime("%Y%m"): one.provider_reported for one in months} == truth["by_invoice_month"]
    assert proved.metadata["conserved"][0]["raw"] == proved.metadata["conserved"][0]["daily"]
    assert {(one.status, one.missing) for one in months} == {(MISSING, ("invoice",))}
    assert total(months, "tax") == truth["by_cost_type"]["tax"]
    assert total(months, "unknown") == 0
