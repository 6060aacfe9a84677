"""What a published list changes in a price book, and what it must not."""

from __future__ import annotations

import sys
from datetime import date
from decimal import Decimal

import pytest
from genai_prices.types import ClauseEquals, ModelInfo

from convergence.costs.prices.book import Price
from convergence.costs.prices.proposals import Difference, compare
from convergence.costs.prices.published import PublishedList, PublishedModel, read_published
from convergence.costs.prices.service import find_overlaps
from convergence.errors import UnsupportedError

TODAY = date(2026, 11, 21)
SHIPPED = {"seed"}
COLUMNS = ("input_per_million", "cached_input_per_million", "output_per_million", "batch_input_per_million")


def _price(amount: str, *, source: str | None = "seed", model: str = "m", **fields: object) -> Price:
    return Price(model, rates={"input_per_million": Decimal(amount)}, source=source, **fields)  # type: ignore[arg-type]


def _published(*prices: Price) -> PublishedList:
    model = PublishedModel(prices[0].model_id, prices, ModelInfo(prices[0].model_id, ClauseEquals(prices[0].model_id)))
    return PublishedList("genai-prices 9", (model,), {})


def _compare(book: list[Price], *prices: Price) -> Difference:
    return compare(book, _published(*prices), TODAY, SHIPPED)


def _after(book: list[Price], difference: Difference) -> list[Price]:
    """The book with everything applied, as rows with the same key replace one another."""
    rows = {(price.meter, price.valid_from): price for price in book}
    rows |= {(row.meter, row.valid_from): row for proposal in difference.proposals for row in proposal.rows}
    return list(rows.values())


def test_a_changed_price_begins_today_where_nobody_knows_the_day() -> None:
    (proposal,) = _compare([_price("2")], _price("3", source="genai-prices 9")).proposals

    assert proposal.kind == "changed"
    assert [(row.valid_from, row.valid_to, row.rates["input_per_million"]) for row in proposal.rows] == [
        (None, TODAY, Decimal(2)),
        (TODAY, None, Decimal(3)),
    ]


def test_a_changed_price_begins_on_the_day_that_the_list_knows() -> None:
    start = date(2026, 9, 10)
    (proposal,) = _compare([_price("2")], _price("2", valid_to=start), _price("3", valid_from=start)).proposals

    assert (proposal.price.valid_from, proposal.rows[0].valid_to) == (start, start)


def test_a_second_comparison_finds_nothing_more() -> None:
    book, published = [_price("2")], _price("3", source="genai-prices 9")
    applied = _after(book, _compare(book, published))

    assert _compare(applied, published).proposals == ()
    assert find_overlaps(applied) == []


def test_two_changes_on_one_day_leave_one_price() -> None:
    book = [_price("2", valid_to=TODAY), _price("3", valid_from=TODAY, source="genai-prices 9")]
    applied = _after(book, _compare(book, _price("4")))

    assert [price.rates["input_per_million"] for price in applied if price.holds_on(TODAY)] == [Decimal(4)]
    assert find_overlaps(applied) == []


@pytest.mark.parametrize("source", [None, "organization", "contract of May"])
def test_a_price_of_the_organizations_own_is_kept_and_named(source: str | None) -> None:
    own = _price("1.5", source=source)
    difference = _compare([own], _price("3"))

    assert difference.proposals == ()
    assert [(kept.price, kept.published["input_per_million"]) for kept in difference.kept] == [(own, Decimal(3))]


def test_a_price_that_somebody_ended_is_not_brought_back() -> None:
    assert _compare([_price("2", valid_to=date(2026, 6, 1))], _price("2")).proposals == ()


def test_an_unknown_model_comes_with_its_past() -> None:
    change = date(2026, 3, 1)
    old, new = _price("5", model="new", valid_to=change), _price("4", model="new", valid_from=change)
    difference = _compare([_price("2")], old, new)

    assert [proposal.price for proposal in difference.proposals] == [old, new]


def test_a_batch_price_does_not_outlive_the_price_that_it_was_half_of() -> None:
    rates = {"input_per_million": Decimal(4), "batch_input_per_million": Decimal(2), "output_per_million": Decimal(8)}
    (proposal,) = _compare([Price("m", rates=rates, source="seed")], _price("1")).proposals

    assert proposal.price.rates == {"input_per_million": Decimal(1), "output_per_million": Decimal(8)}


def test_what_deepseek_is_said_to_cost_is_left_out_with_the_reason() -> None:
    published = read_published("deepseek", COLUMNS)

    assert published.models == ()
    assert "peak hours" in published.left_out["all models"]


def test_a_batch_price_is_not_dated_by_the_day_on_which_it_was_learned() -> None:
    """Usage in batches before 2026-10-14 would cost the full price."""
    published = read_published("anthropic", COLUMNS)
    (price,) = (
        price
        for model in published.models
        if model.name == "claude-haiku-4-5"
        for price in model.prices
        if price.service_tier == "default"
    )

    assert price.holds_on(date(2026, 5, 1))
    assert price.rates["batch_input_per_million"] * 2 == price.rates["input_per_million"]


def test_without_the_package_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    with pytest.raises(UnsupportedError) as caught:
        read_published("openai", COLUMNS)

    assert (caught.value.code, caught.value.hint) == ("prices_missing", "pip install 'convergence[prices]'")


def test_every_published_amount_is_exact() -> None:
    amounts = [
        amount
        for provider in ("openai", "anthropic", "cursor")
        for model in read_published(provider, COLUMNS).models
        for price in model.prices
        for amount in price.rates.values()
    ]

    assert len(amounts) > 300
    assert {type(amount) for amount in amounts} == {Decimal}
