"""Disjoint classes of what OpenAI counts, and which figure of the price book each is priced by."""

from __future__ import annotations

from datetime import date

from convergence.costs.prices.book import DEFAULT_TIER, PriceBook
from convergence.costs.prices.pricing import Quote, TokenClass, read_rate

_BASE_TIERS = frozenset({"default", "auto", "standard", "scale"})


_INPUT, _BATCH_INPUT = "input_per_million", "batch_input_per_million"

CLASSES = {
    item.name: item
    for item in (
        TokenClass("input", (_INPUT,), (_BATCH_INPUT,)),
        TokenClass("input_audio", ("audio_input_per_million",)),
        TokenClass(
            "cached_input",
            ("cached_input_per_million", _INPUT),
            ("batch_cached_input_per_million", "cached_input_per_million", _BATCH_INPUT),
        ),
        TokenClass("cached_input_audio", ("cached_audio_input_per_million", "audio_input_per_million")),
        TokenClass("cache_write", ("cache_write_per_million", _INPUT), ("batch_cache_write_per_million", _BATCH_INPUT)),
        TokenClass("output", ("output_per_million",), ("batch_output_per_million",)),
        TokenClass("output_audio", ("audio_output_per_million",)),
        TokenClass("images", ("image_each",), per=1, pricing_unit="Images"),
        TokenClass("characters", ("characters_per_million",), pricing_unit="1000000 Characters"),
        TokenClass("seconds", ("transcription_per_minute",), per=60, pricing_unit="Minutes"),
        TokenClass("storage", ("storage_per_gib_day",), per=2**30, pricing_unit="GiB-Days", tool="vector-store"),
        TokenClass("sessions", ("session_each",), per=1, pricing_unit="Sessions", tool="code-interpreter"),
        TokenClass("file_search", ("file_search_per_thousand",), (), 1000, "1000 Requests", "file-search"),
        TokenClass("web_search", ("web_search_per_thousand",), (), 1000, "1000 Requests", "web-search"),
    )
}


def quote(
    book: PriceBook, token_class: str, model: str | None, day: date, *, batch: bool, service_tier: str | None
) -> Quote | None:
    """The list price of a class; None where the book has none: an unknown price is not a price of nothing.

    The price book's prices by condition (long context) depend on the single request and cannot be applied to a day's
    sum: the base price is taken.
    """
    wanted = CLASSES[token_class]
    tier = DEFAULT_TIER if batch or service_tier is None or service_tier in _BASE_TIERS else service_tier
    found = book.find(model, day, service_tier=tier) if model is not None else None
    rates = wanted.batch_rates if batch and wanted.batch_rates else wanted.rates
    return read_rate(found, wanted, rates) or _read_tool_rate(book, wanted, day)


def _read_tool_rate(book: PriceBook, wanted: TokenClass, day: date) -> Quote | None:
    return read_rate(book.find(wanted.tool, day), wanted, wanted.rates) if wanted.tool is not None else None
