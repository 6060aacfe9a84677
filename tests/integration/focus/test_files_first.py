"""A provider whose days came as a FOCUS file before its own costs were there: no day counts twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from step_bench import TODAY, Bench, last_days, open_bench

from convergence.costs.focus.build import SCOPE_COLUMN, TABLE
from convergence.errors import DataQualityError
from convergence.kit.window import DAY
from convergence.simulator import DeepSeekWorld, Simulator, SimulatorServer, build_export, zip_export

DAYS = last_days(3)
FILED = DAYS.start + DAY
WORLD = DeepSeekWorld(seed=7, end_day=TODAY, days=3, rows_per_day=2, steady=True)
COST_STEPS = ("load_export", "transform_cost")
FILE = (
    "BilledCost,BillingAccountId,BillingCurrency,BillingPeriodStart,BillingPeriodEnd,ChargeCategory,ChargePeriodStart,"
    "ChargePeriodEnd,ContractedCost,EffectiveCost,InvoiceIssuerName,ListCost,ProviderName,ServiceCategory,ServiceName\n"
    f"41.5,1,USD,{FILED.replace(day=1)},{TODAY},Usage,{FILED},{FILED + DAY},41.5,41.5,DeepSeek,41.5,DeepSeek,"
    "AI and Machine Learning,API\n"
).encode()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """The file first, then the provider's own costs of the day before it, its day and the day behind it."""
    with SimulatorServer(Simulator()) as server:
        async with open_bench(server, WORLD, tmp_path, "deepseek", "") as made:
            await made.load_file(FILE, "focus.csv", pipeline="files-focus")
            export = zip_export(build_export(WORLD, DAYS, made.clock.now()))
            await made.load_file(
                export, "export.zip", pipeline="deepseek-export", only=("load_export", "transform_cost")
            )
            yield made


async def focus(bench: Bench) -> dict[tuple[date, str], Decimal]:
    rows = await bench.rows(
        f"SELECT x_UsageDate AS day, {SCOPE_COLUMN} AS scope, SUM(BilledCost) AS cost FROM {TABLE} GROUP BY 1, 2"
    )
    return {(row["day"], row["scope"]): row["cost"] for row in rows}


async def own(bench: Bench) -> dict[tuple[date, str], Decimal]:
    costs = await bench.daily("deepseek_cost_daily", "billed_cost")
    return {(date.fromisoformat(day), "deepseek"): cost for day, cost in costs.items()}


async def test_a_day_of_a_file_is_not_built_beside_it_and_the_others_are(bench: Bench) -> None:
    costs = await own(bench)
    with pytest.raises(DataQualityError) as twice:
        await bench.run("focus.build", DAYS, config={"providers": ()})

    assert (twice.value.code, twice.value.fields["days"]) == ("focus_counted_twice", [FILED.isoformat()])
    assert "convergence files remove" in twice.value.hint
    assert len(costs) == 3
    assert await focus(bench) == {
        **{place: cost for place, cost in costs.items() if place[0] != FILED},
        (FILED, "file/deepseek/1"): Decimal("41.5"),
    }


async def test_without_the_file_the_next_build_has_all_days(bench: Bench) -> None:
    with pytest.raises(DataQualityError):
        await bench.run("focus.build", DAYS, config={"providers": ()})
    await bench.load_file(FILE, "focus.csv", pipeline="files-focus-removal")
    await bench.run("focus.build", last_days(1), config={"providers": ()})

    assert await focus(bench) == await own(bench)


async def test_another_provider_s_file_of_the_day_holds_nothing_back(bench: Bench) -> None:
    await bench.load_file(FILE, "focus.csv", pipeline="files-focus-removal")
    await bench.load_file(FILE, "focus.csv", pipeline="files-focus", provider="aws")
    await bench.run("focus.build", DAYS, config={"providers": ()})

    assert await focus(bench) == {**await own(bench), (FILED, "file/aws/1"): Decimal("41.5")}
