"""Thirty simulated days of every provider, reconciled against what the provider knows to be true."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from step_bench import NOW, TODAY, Bench, last_days, open_bench

from convergence.costs.reconciliation.figures import Ledger, reconcile
from convergence.costs.reconciliation.judgement import (
    DEFAULT_TOLERANCE,
    DIVERGED,
    EXPLAINED,
    HALF_A_CENT,
    MATCHED,
    Reconciliation,
)
from convergence.errors import DataQualityError
from convergence.kit.clock import ManualClock
from convergence.simulator import AnthropicWorld, OpenAIWorld, Simulator, SimulatorServer
from convergence.sql import Statement

from .conftest import CATALOG
from .worlds import PlainAnthropic, PlainOpenAI

WINDOW = last_days(30)
A_HAIR = Decimal("0.000001")


@dataclass(frozen=True)
class Account:
    provider: str
    key: str
    world: type[Any]
    plain: type[Any]

    @property
    def money(self) -> tuple[str, ...]:
        return tuple(f"{self.provider}.{step}" for step in ("usage", "reported_cost", "cost"))


ACCOUNTS = (
    Account("openai", "sk-admin-test-0123456789abcdef", OpenAIWorld, PlainOpenAI),
    Account("anthropic", "sk-ant-admin01-test-0123456789abcdef", AnthropicWorld, PlainAnthropic),
)
EVERY = pytest.mark.parametrize("account", ACCOUNTS, ids=lambda account: account.provider)


@asynccontextmanager
async def opened(account: Account, world: Any, folder: Path) -> AsyncIterator[Bench]:
    simulator = Simulator(clock=ManualClock(NOW))
    simulator.add_account(account.key, world, provider=account.provider)
    with SimulatorServer(simulator) as server:
        async with open_bench(server, world, folder, account.provider, account.key) as bench:
            yield bench


async def compare(bench: Bench, granularity: str = "day") -> list[Reconciliation]:
    ledger = Ledger(bench.warehouse, CATALOG, bench.org)
    return await reconcile(ledger, WINDOW, granularity, today=TODAY, tolerance=DEFAULT_TOLERANCE)


@EVERY
async def test_thirty_days_match_until_the_provider_bills_one_percent_more(account: Account, tmp_path: Path) -> None:
    world = account.plain(seed=5, end_day=TODAY, days=30, rows_per_day=12, steady=True)
    async with opened(account, world, tmp_path) as bench:
        for step in account.money:
            await bench.run(step, WINDOW)
        fair = await compare(bench)
        world.overcharge = 1
        for step in account.money[1:]:
            await bench.run(step, WINDOW)
        dear = await compare(bench)

    assert [(one.status, abs(one.residual or 0) < A_HAIR) for one in fair] == [(MATCHED, True)] * 30
    assert sum(one.status == DIVERGED for one in dear) > 20
    assert all(one.status == DIVERGED or one.residual <= HALF_A_CENT for one in dear)
    for one, before in zip(dear, fair, strict=True):
        assert abs(one.explained_by["unknown"] - Decimal(before.provider_reported or 0) / 100) < A_HAIR


@EVERY
async def test_what_usage_cannot_tell_is_explained_to_the_cent(account: Account, tmp_path: Path) -> None:
    world = account.world(seed=11, end_day=TODAY, days=30, rows_per_day=20)
    async with opened(account, world, tmp_path) as bench:
        for step in account.money:
            await bench.run(step, WINDOW)
        days, months, truth = await compare(bench), await compare(bench, "month"), bench.truth()

    told = {one.period.isoformat(): one.provider_reported for one in days}
    assert told == {day: amount for day, amount in truth["cost"]["by_day"].items() if amount}
    assert {one.status for one in days} <= {MATCHED, EXPLAINED}
    assert sum(abs(one.explained_by.get("unknown", Decimal(0))) for one in days) < A_HAIR * 30
    for reason in {reason for one in days for reason in one.explained_by}:
        assert sum(one.explained_by.get(reason, Decimal(0)) for one in days) == pytest.approx(
            sum(one.explained_by.get(reason, Decimal(0)) for one in months), abs=A_HAIR
        )
    credit = truth["cost"].get("by_line_item", {}).get("promotional credit", Decimal(0))
    assert sum(one.explained_by.get("credits", Decimal(0)) for one in days) == credit


async def test_conservation_is_on_record_and_a_break_names_day_and_sums(tmp_path: Path) -> None:
    account = ACCOUNTS[0]
    world = account.world(seed=11, end_day=TODAY, days=5, rows_per_day=20, steady=True)
    async with opened(account, world, tmp_path) as bench:
        for step in account.money:
            await bench.run(step, WINDOW)
        result = await bench.run("reconciliation.conservation", WINDOW)
        truth = {day: amount for day, amount in bench.truth()["cost"]["by_day"].items() if amount}
        conserved = await bench.rows("SELECT usage_date, raw, daily, status FROM cost_conservation_daily")
        day = max(truth)
        sql = f"UPDATE openai_cost_daily SET billed_cost = billed_cost + 1 WHERE usage_date = DATE '{day}'"
        added = await bench.warehouse.execute(Statement(sql, bench.org.dataset))
        with pytest.raises(DataQualityError) as raised:
            await bench.run("reconciliation.conservation", WINDOW)
        broken = await bench.rows("SELECT usage_date, daily FROM cost_conservation_daily WHERE status = 'BROKEN'")

    assert {row["usage_date"].isoformat(): row["raw"] for row in conserved} == truth
    assert {(row["raw"] == row["daily"], row["status"]) for row in conserved} == {(True, "CONSERVED")}
    assert Decimal(result.metadata["conserved"][0]["daily"]) == sum(truth.values())
    assert raised.value.code == "conservation_broken"
    assert str(truth[day]) in raised.value.message
    assert [(row["usage_date"].isoformat(), row["daily"]) for row in broken] == [(day, truth[day] + added)]
