"""A model without a price: a warning, a null and a row of its own, never 0."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from step_bench import Bench

from convergence.costs.prices.service import create_price, delete_price
from convergence.costs.report import read_costs
from convergence.sql import Statement

from .conftest import DAYS

MODEL = "gpt-5-mini"
KEYS = ("model", "token_class")


async def test_a_model_without_a_price_is_named_with_its_quantity_and_what_it_cost(
    bench: Bench, place: tuple[Any, ...]
) -> None:
    await delete_price(*place, MODEL)
    result = await bench.run("openai.cost", DAYS)
    report = await read_costs(bench.warehouse, bench.org, DAYS, granularity="total", group_by=KEYS)

    (row,) = (row for row in report.rows if (row["model"], row["token_class"]) == (MODEL, "output"))
    (named,) = (item for item in report.unpriced if (item["model"], item["token_class"]) == (MODEL, "output"))
    assert row["list_cost"] is None
    assert (named["provider"], named["unit"], named["currency"]) == ("openai", "Tokens", "USD")
    assert named["billed_cost"] == row["billed_cost"] > 0
    assert named["quantity"] == await bench.value(
        f"SELECT SUM(quantity) FROM openai_cost_daily WHERE model = '{MODEL}' AND token_class = 'output'"
    )
    assert any(warning.startswith(f"no list price for {MODEL}") for warning in result.warnings)


async def test_where_nothing_is_priced_the_list_cost_of_the_total_is_null(bench: Bench, place: tuple[Any, ...]) -> None:
    await bench.warehouse.execute(Statement("DELETE FROM openai_pricing WHERE TRUE", bench.org.dataset))
    await create_price(*place, {"model_id": "another-model", "input_per_million": "1"})
    await bench.run("openai.cost", DAYS)
    report = await read_costs(bench.warehouse, bench.org, DAYS, granularity="total")

    assert report.total["list_cost"] is None
    assert report.total["billed_cost"] == Decimal(bench.truth()["cost"]["total"])
