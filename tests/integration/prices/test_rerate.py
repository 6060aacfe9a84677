"""Past days with today's prices: list cost moves, what was billed does not, and twice in a row moves nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from step_bench import Bench

from convergence.costs.prices.service import delete_price, update_price
from convergence.errors import DataQualityError
from convergence.kit.window import Window
from convergence.sql import Statement
from convergence.steps import StepResult

from .conftest import DAYS

CONFIG = {"provider": "openai", "cost_step": "openai.cost", "settings": {"restatement_days": 0}}
COLUMNS = "usage_date, model, token_class, billed_cost, list_cost, price_version, pipeline_logging_id"
EVERYTHING = f"SELECT {COLUMNS} FROM openai_cost_daily ORDER BY {COLUMNS}"
MODEL = "gpt-5-mini"
OF_MODEL = f"FROM openai_cost_daily WHERE model = '{MODEL}'"


async def _rerate(bench: Bench, window: Window = DAYS, **config: Any) -> StepResult:
    return await bench.run("costs.rerate", window, config={**CONFIG, **config})


async def _listed(bench: Bench) -> Decimal:
    cost: Decimal = await bench.value(f"SELECT SUM(list_cost) {OF_MODEL}")
    return cost


async def test_a_rerate_says_what_moved_and_bills_nothing_anew(bench: Bench, place: tuple[Any, ...]) -> None:
    billed = await bench.daily("openai_cost_daily", "billed_cost")
    before = await _listed(bench)
    await update_price(*place, MODEL, values={"output_per_million": "200"})
    result = await _rerate(bench)

    (move,) = result.metadata["moved"]
    assert move["model"] == MODEL
    assert (Decimal(move["list_cost_before"]), Decimal(move["list_cost_after"])) == (before, await _listed(bench))
    assert await _listed(bench) > before
    assert await bench.daily("openai_cost_daily", "billed_cost") == billed


async def test_a_second_rerate_moves_nothing(bench: Bench, place: tuple[Any, ...]) -> None:
    await update_price(*place, MODEL, values={"output_per_million": "200"})
    await _rerate(bench)
    rows = await bench.rows(EVERYTHING)
    again = await _rerate(bench)

    assert (again.metadata["moved"], again.metadata["days_replaced"]) == ([], 0)
    assert await bench.rows(EVERYTHING) == rows


async def test_a_rehearsal_says_the_same_and_changes_nothing(bench: Bench, place: tuple[Any, ...]) -> None:
    await update_price(*place, MODEL, values={"output_per_million": "200"})
    rows = await bench.rows(EVERYTHING)
    rehearsed = await _rerate(bench, rehearse=True)
    untouched = await bench.rows(EVERYTHING)
    done = await _rerate(bench)

    assert untouched == rows
    assert rehearsed.metadata["moved"] == done.metadata["moved"] != []


async def test_a_model_that_loses_its_price_keeps_no_list_cost_but_that_of_its_tools(
    bench: Bench, place: tuple[Any, ...]
) -> None:
    await delete_price(*place, MODEL)
    result = await _rerate(bench)

    (move,) = result.metadata["moved"]
    priced = await bench.rows(f"SELECT DISTINCT token_class {OF_MODEL} AND list_cost IS NOT NULL")
    assert {row["token_class"] for row in priced} <= {"web_search", "file_search"}
    assert Decimal(move["list_cost_after"]) == await _listed(bench) < Decimal(move["list_cost_before"])
    assert any(warning.startswith(f"no list price for {MODEL}") for warning in result.warnings)


async def test_only_the_days_that_were_asked_for_are_priced_anew(bench: Bench, place: tuple[Any, ...]) -> None:
    old = await bench.value(f"SELECT COUNT(DISTINCT price_version) {OF_MODEL} AND token_class = 'output'")
    await update_price(*place, MODEL, values={"output_per_million": "200"})
    result = await _rerate(bench, Window.day(DAYS.last))

    priced = await bench.rows(
        f"SELECT DISTINCT usage_date {OF_MODEL} AND token_class = 'output' AND list_unit_price = 200 AND NOT batch"
    )
    assert old >= 1
    assert (result.metadata["days"], [row["usage_date"] for row in priced]) == (1, [DAYS.last])


async def test_days_that_were_never_loaded_stay_so(bench: Bench) -> None:
    earlier = Window(DAYS.start.replace(day=1), DAYS.start)
    result = await _rerate(bench, earlier)

    assert result.metadata["days"] == 0
    assert await bench.warehouse.scopes(bench.org.dataset, "openai.cost", earlier) == []


async def test_a_run_for_another_provider_leaves_this_one_alone(bench: Bench, place: tuple[Any, ...]) -> None:
    await update_price(*place, MODEL, values={"output_per_million": "200"})
    result = await _rerate(bench, only="anthropic")

    assert (result.rows_processed, result.metadata["moved"]) == (0, [])


async def test_reported_cost_that_is_newer_than_the_cost_table_is_not_billed_by_a_rerate(bench: Bench) -> None:
    rows = await bench.rows(EVERYTHING)
    changed = "UPDATE openai_reported_cost_daily_raw SET amount = amount + 1 WHERE usage_date = @day"
    await bench.warehouse.execute(Statement(changed, bench.org.dataset, {"day": DAYS.last}))
    with pytest.raises(DataQualityError) as caught:
        await _rerate(bench)

    assert caught.value.code == "billed_cost_moved"
    assert await bench.rows(EVERYTHING) == rows


async def test_an_empty_price_book_is_filled_before_days_are_priced_anew(bench: Bench) -> None:
    await bench.warehouse.execute(Statement("DELETE FROM openai_pricing WHERE TRUE", bench.org.dataset))
    result = await _rerate(bench)

    assert result.metadata["moved"] == []
    assert await bench.value("SELECT COUNT(*) FROM openai_pricing") > 200
