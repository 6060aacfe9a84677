"""Our pricing against the published calculator, on any usage of any model that both know."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from genai_prices import Usage, calc_price
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence.catalog import Catalog
from convergence.costs.prices.book import PriceBook
from convergence.costs.prices.pricing import Kind, Pricing, Quote
from convergence.costs.prices.service import load_seed
from convergence.processors.anthropic import _token_classes as anthropic
from convergence.processors.openai import _token_classes as openai

DAY = date(2026, 11, 1)
ROUNDING = Decimal("0.000000005")  # half a nano-dollar a class, ten classes
CATALOG = Catalog(Path(__file__).parents[2] / "configs")
SEEDS = {provider: load_seed(CATALOG, provider) for provider in ("openai", "anthropic")}
MODELS = {
    "openai": ("gpt-4o", "gpt-4.1", "gpt-5-mini", "o3", "gpt-6-sol"),
    "anthropic": ("claude-opus-4-1", "claude-opus-4-5", "claude-haiku-4-5", "claude-sonnet-5-5", "claude-3-haiku"),
}
CLASSES = {
    "openai": ("input", "cached_input", "output"),
    "anthropic": ("input", "cached_input", "cache_write_5m", "cache_write_1h", "output"),
}
TOKENS = st.integers(0, 30_000)  # below every long-context limit: the calculator prices a single request


def _quote_openai(book: PriceBook, kind: Kind) -> Quote | None:
    return openai.quote(book, kind["token_class"], kind["model"], DAY, batch=False, service_tier="default")


def _quote_anthropic(book: PriceBook, kind: Kind) -> Quote | None:
    return anthropic.quote(
        book, kind["token_class"], kind["model"], DAY, service_tier="standard", context_window="0-200k"
    )


QUOTES = {"openai": _quote_openai, "anthropic": _quote_anthropic}
PRICINGS = {name: Pricing(SEEDS[name], ("model", "token_class"), QUOTES[name]) for name in SEEDS}


def _list_costs(provider: str, model: str, quantities: Mapping[str, int]) -> list[Any]:
    rows = pa.table(
        {
            "model": [model] * len(quantities),
            "token_class": list(quantities),
            "quantity": pa.array([Decimal(count) for count in quantities.values()], pa.decimal128(38, 9)),
        }
    )
    costs: list[Any] = PRICINGS[provider].apply(rows)["list_cost"].to_pylist()
    return costs


def _published_cost(provider: str, model: str, quantities: Mapping[str, int]) -> Decimal:
    """Its input is the total of all input classes, and its cache writes include those of an hour."""
    hour = quantities.get("cache_write_1h", 0)
    written = quantities.get("cache_write_5m", 0) + hour
    usage = Usage(
        input_tokens=quantities["input"] + quantities["cached_input"] + written,
        cache_read_tokens=quantities["cached_input"],
        output_tokens=quantities["output"],
        **({"cache_write_tokens": written, "cache_write_1h_tokens": hour} if written else {}),
    )
    moment = datetime.combine(DAY, datetime.min.time(), UTC)
    return calc_price(usage, model, provider_id=provider, genai_request_timestamp=moment).total_price


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_disjoint_classes_cost_what_the_request_costs(provider: str, data: st.DataObject) -> None:
    model = data.draw(st.sampled_from(MODELS[provider]))
    quantities = {name: data.draw(TOKENS, label=name) for name in CLASSES[provider]}
    costs = _list_costs(provider, model, quantities)

    assert {type(cost) for cost in costs} == {Decimal}
    assert abs(sum(costs) - _published_cost(provider, model, quantities)) <= ROUNDING


def test_the_worked_figure_of_a_request_that_reads_and_writes_its_cache() -> None:
    """3,200 input tokens in all: 200 read, 500 written for five minutes, 1,000 for an hour; 500 output tokens."""
    quantities = {"input": 1500, "cached_input": 200, "cache_write_5m": 500, "cache_write_1h": 1000, "output": 500}

    costs = _list_costs("anthropic", "claude-sonnet-4-20250514", quantities)
    assert costs == [Decimal(cost) for cost in ("0.0045", "0.00006", "0.001875", "0.006", "0.0075")]
    assert sum(costs) == Decimal("0.019935") == _published_cost("anthropic", "claude-sonnet-4-20250514", quantities)
