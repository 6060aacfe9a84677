"""Days of a provider that is known by its exports alone, in the currency of the account, with today's prices."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from step_bench import CONFIGS, NOW, TODAY, Bench, last_days, open_bench

from convergence.catalog import Catalog
from convergence.costs.prices.service import list_prices, update_price
from convergence.kit.clock import ManualClock
from convergence.simulator import DeepSeekWorld, Simulator, SimulatorServer, build_export, zip_export

KEY = "sk-deepseek-test-0123456789abcdef"
DAYS = last_days(3)
CONFIG = {"provider": "deepseek", "cost_step": "deepseek.cost"}
LISTED = "SELECT SUM(list_cost) FROM deepseek_cost_daily"


async def _check(bench: Bench) -> None:
    export = zip_export(build_export(bench.world, DAYS, NOW))
    await bench.load_file(export, "usage_data.zip", pipeline="deepseek-export")
    billed, listed = await bench.daily("deepseek_cost_daily", "billed_cost"), await bench.value(LISTED)
    unmoved = await bench.run("costs.rerate", DAYS, config=CONFIG)
    place = bench.warehouse, Catalog(CONFIGS), bench.org, "deepseek"
    (base,) = (
        price
        for price in await list_prices(*place)
        if (price.model_id, price.service_tier, price.currency) == ("deepseek-flash", "default", "CNY")
    )
    dearer = {"currency": "CNY", "output_per_million": str(base.rates["output_per_million"] * 100)}
    await update_price(*place, "deepseek-flash", values=dearer)
    result = await bench.run("costs.rerate", DAYS, config=CONFIG)

    (move,) = result.metadata["moved"]
    assert unmoved.metadata["moved"] == []
    assert (move["model"], move["currency"]) == ("deepseek-flash", "CNY")
    moved = Decimal(move["list_cost_after"]) - Decimal(move["list_cost_before"])
    assert moved == await bench.value(LISTED) - listed > 0
    assert await bench.daily("deepseek_cost_daily", "billed_cost") == billed


async def test_a_price_in_yuan_moves_days_that_are_paid_in_yuan(tmp_path: Path) -> None:
    world = DeepSeekWorld(seed=12, end_day=TODAY, days=3, rows_per_day=8, steady=True, currency="CNY")
    simulated = Simulator(clock=ManualClock(NOW))
    simulated.add_account(KEY, world, provider="deepseek")
    with SimulatorServer(simulated) as server:
        async with open_bench(server, world, tmp_path, "deepseek", KEY) as bench:
            await _check(bench)
