"""Disjoint classes of what Anthropic counts, and which figure of the price book each is priced by."""

from __future__ import annotations

from datetime import date

from convergence.costs.prices.book import DEFAULT_TIER, Price, PriceBook
from convergence.costs.prices.pricing import Quote, TokenClass, read_rate

BATCH = "batch"
LONG_CONTEXT = "200k-1M"
_LONG_CONTEXT_TIER = "long_context"
_BASE_TIERS = frozenset({"standard", BATCH, "priority", "priority_on_demand"})

CLASSES = {
    item.name: item
    for item in (
        TokenClass("input", ("input_per_million",), ("batch_input_per_million",)),
        TokenClass(
            "cached_input",
            ("cached_input_per_million", "input_per_million"),
            ("batch_cached_input_per_million", "batch_input_per_million"),
        ),
        TokenClass("cache_write_5m", ("cache_write_5m_per_million",), ("batch_cache_write_5m_per_million",)),
        TokenClass("cache_write_1h", ("cache_write_1h_per_million",), ("batch_cache_write_1h_per_million",)),
        TokenClass("output", ("output_per_million",), ("batch_output_per_million",)),
        TokenClass("web_search", ("web_search_per_thousand",), (), 1000, "1000 Requests", "web-search"),
    )
}


def quote(
    book: PriceBook,
    token_class: str,
    model: str | None,
    day: date,
    *,
    service_tier: str | None,
    context_window: str | None,
) -> Quote | None:
    """The list price of a class; None where the book has none: an unknown price is not a price of nothing.

    Priority Tier is listed at the standard price: what was committed to is not public.
    """
    wanted = CLASSES[token_class]
    tier = DEFAULT_TIER if service_tier is None or service_tier in _BASE_TIERS else service_tier
    found = _find(book, model, day, tier, is_long=context_window == LONG_CONTEXT) if model is not None else None
    rates = wanted.batch_rates if service_tier == BATCH and wanted.batch_rates else wanted.rates
    tool = book.find(wanted.tool, day) if wanted.tool is not None else None
    return read_rate(found, wanted, rates) or read_rate(tool, wanted, wanted.rates)


def _find(book: PriceBook, model: str, day: date, tier: str, *, is_long: bool) -> Price | None:
    """Most models cost the same in a long context; those that do not have a price of their own for it."""
    long = book.find(model, day, service_tier=_LONG_CONTEXT_TIER) if is_long and tier == DEFAULT_TIER else None
    return long or book.find(model, day, service_tier=tier)
