"""Ways in which price data made others' costs wrong, held against the shipped price books."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from step_bench import CONFIGS

from convergence.catalog import Catalog
from convergence.costs.prices.book import DEFAULT_TIER, Price, PriceBook
from convergence.costs.prices.service import load_seed
from convergence.processors.anthropic import _token_classes as anthropic
from convergence.processors.openai import _token_classes as openai

SEEDS = {name: load_seed(Catalog(CONFIGS), name) for name in ("openai", "anthropic", "deepseek", "cursor")}
BOOKS = {name: PriceBook(prices) for name, prices in SEEDS.items()}
TODAY = date(2026, 11, 20)
ALL = [(provider, price) for provider, prices in SEEDS.items() for price in prices]


def _openai(token_class: str, model: str, day: date = TODAY, *, batch: bool = False) -> Decimal | None:
    found = openai.quote(BOOKS["openai"], token_class, model, day, batch=batch, service_tier="default")
    return found and found.unit_price


def _anthropic(token_class: str, model: str, day: date = TODAY, tier: str = "standard") -> Decimal | None:
    book = BOOKS["anthropic"]
    found = anthropic.quote(book, token_class, model, day, service_tier=tier, context_window="0-200k")
    return found and found.unit_price


def _deepseek(model: str, day: date, tier: str = DEFAULT_TIER, currency: str = "USD") -> Price:
    found = BOOKS["deepseek"].find(model, day, service_tier=tier, currency=currency)
    assert found is not None
    return found


def test_cached_tokens_are_not_priced_as_input() -> None:
    rates = [(price.model_id, price.rates) for _, price in ALL if "cached_input_per_million" in price.rates]
    dear = [model for model, found in rates if found["cached_input_per_million"] >= found["input_per_million"]]

    assert len(rates) > 100
    assert dear == []


def test_the_two_kinds_of_cache_writes_have_their_own_prices() -> None:
    model = "claude-haiku-4-5"
    found = [_anthropic(name, model) for name in ("input", "cached_input", "cache_write_5m", "cache_write_1h")]

    assert found == [Decimal(rate) for rate in ("1", "0.1", "1.25", "2")]


def test_cache_writes_in_a_batch_are_dearer_than_its_input() -> None:
    assert _openai("cache_write", "gpt-6-sol", batch=True) == Decimal("1.25")
    assert _openai("input", "gpt-6-sol", batch=True) == Decimal(1)


def test_cache_reads_in_a_batch_without_a_price_of_their_own_cost_what_they_cost_elsewhere() -> None:
    assert _openai("cached_input", "o3", batch=True) == _openai("cached_input", "o3") == Decimal("0.5")


@pytest.mark.parametrize(
    ("model", "prices"), [("claude-opus-4-1-20250805", ("15", "75")), ("claude-opus-4-5-20251101", ("5", "25"))]
)
def test_a_new_opus_is_not_priced_as_the_old_one(model: str, prices: tuple[str, str]) -> None:
    assert [_anthropic(name, model) for name in ("input", "output")] == [Decimal(price) for price in prices]


def test_batches_were_half_price_before_the_published_list_knew_it() -> None:
    day = date(2026, 5, 1)

    assert _anthropic("output", "claude-haiku-4-5", day, "batch") == Decimal("2.5")
    assert _openai("output", "gpt-4.1", day, batch=True) == Decimal(4)


@pytest.mark.parametrize(("provider", "model"), [("anthropic", "claude-2.1"), ("openai", "o1-mini")])
def test_retired_models_keep_their_prices(provider: str, model: str) -> None:
    assert BOOKS[provider].find(model, TODAY) is not None


def test_a_day_is_not_priced_as_one_long_request() -> None:
    """The price above 272,000 input tokens is for a request of that size, not for a day's sum of small ones."""
    conditional = [price for price in SEEDS["openai"] if price.model_id == "gpt-6-sol" and price.condition]

    assert [price.rates["input_per_million"] for price in conditional] == [Decimal(4)]
    assert _openai("input", "gpt-6-sol") == Decimal(2)


def test_the_peak_price_is_not_the_base_price() -> None:
    base, peak = (_deepseek("deepseek-flash", TODAY, tier) for tier in (DEFAULT_TIER, "peak"))

    assert (base.rates["output_per_million"], peak.rates["output_per_million"]) == (Decimal("0.6"), Decimal("1.2"))
    assert (base.hours_utc, str(peak.hours_utc)[:23]) == (None, "01:00-04:00 06:00-10:00")


def test_there_was_no_peak_price_before_there_was_one() -> None:
    assert BOOKS["deepseek"].find("deepseek-v4-flash", date(2026, 8, 16), service_tier="peak") is None
    assert _deepseek("deepseek-v4-flash", date(2026, 8, 17), "peak").rates["input_per_million"] == Decimal("0.44")


def test_the_night_was_cheaper_until_it_ended() -> None:
    assert _deepseek("deepseek-reasoner", date(2025, 9, 5), "off_peak").rates["output_per_million"] == Decimal("0.55")
    assert BOOKS["deepseek"].find("deepseek-reasoner", date(2025, 9, 6), service_tier="off_peak") is None


def test_a_list_in_yuan_is_no_conversion_of_the_one_in_dollars() -> None:
    yuan, dollars = (_deepseek("deepseek-v4-flash", date(2026, 5, 1), currency=code) for code in ("CNY", "USD"))

    assert (yuan.rates["input_per_million"], dollars.rates["input_per_million"]) == (Decimal(1), Decimal("0.14"))
    assert BOOKS["deepseek"].find("deepseek-v4-flash", date(2026, 5, 1)) == dollars


def test_peak_and_base_rows_of_one_day_add_up_to_the_documented_cost() -> None:
    base, peak = (_deepseek("deepseek-flash", TODAY, tier).rates for tier in (DEFAULT_TIER, "peak"))
    million = Decimal(1)
    costs = [
        million * base["input_per_million"],
        million / 2 * base["output_per_million"],
        million * 10 * base["cached_input_per_million"],
        million * peak["input_per_million"],
    ]
    assert sum(costs) == Decimal("0.78")


def test_every_retired_name_is_priced_up_to_its_last_day() -> None:
    last = date(2026, 7, 24)

    assert _deepseek("deepseek-chat", last).rates == _deepseek("deepseek-v4-flash", last).rates
    assert BOOKS["deepseek"].find("deepseek-chat", date(2026, 7, 25)) is None


@pytest.mark.parametrize("provider", SEEDS)
def test_every_price_is_exact_positive_and_has_a_source(provider: str) -> None:
    amounts = [amount for price in SEEDS[provider] for amount in price.rates.values()]

    assert {type(amount) for amount in amounts} == {Decimal}
    assert min(amounts) >= 0
    assert all(price.source for price in SEEDS[provider])
