"""List prices by class, tier and context window, from the shipped price book."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from convergence.catalog import Catalog
from convergence.costs.prices.book import PriceBook
from convergence.costs.prices.service import load_seed
from convergence.processors.anthropic._token_classes import quote

SEED = load_seed(Catalog(Path(__file__).parents[3] / "configs"), "anthropic")
BOOK = PriceBook(SEED)
DAY = date(2026, 11, 1)


@pytest.mark.parametrize(
    ("token_class", "model", "tier", "context", "expected"),
    [
        ("input", "claude-sonnet-4-20250514", "standard", "0-200k", "3"),
        ("input", "claude-opus-4-20250514", "standard", "0-200k", "15"),
        ("input", "claude-opus-4-1-20250805", "standard", "0-200k", "15"),
        ("output", "claude-opus-4-5-20251101", "standard", "0-200k", "25"),
        ("cached_input", "claude-haiku-4-5", "standard", "0-200k", "0.1"),
        ("cache_write_5m", "claude-haiku-4-5", "standard", "0-200k", "1.25"),
        ("cache_write_1h", "claude-haiku-4-5", "standard", "0-200k", "2"),
        ("cache_write_1h", "claude-haiku-4-5", "batch", "0-200k", "1"),
        ("output", "claude-sonnet-4-20250514", "batch", "0-200k", "7.5"),
        ("output", "claude-sonnet-4-5-20250929", "batch", "200k-1M", "11.25"),
        ("input", "claude-sonnet-4-5-20250929", "standard", "200k-1M", "6"),
        ("input", "claude-sonnet-4-6", "standard", "200k-1M", "3"),
        ("output", "claude-sonnet-5", "priority", "0-200k", "10"),
        ("output", "claude-sonnet-5", "flex", "0-200k", None),
        ("output", "claude-2", "batch", "0-200k", None),
        ("output", "claude-unheard-of", "standard", "0-200k", None),
        ("input", None, "standard", "0-200k", None),
        ("web_search", "claude-3-haiku-20240307", "standard", None, "10"),
        ("web_search", "claude-sonnet-5", "batch", None, "10"),
    ],
)
def test_quote(token_class: str, model: str | None, tier: str, context: str | None, expected: str | None) -> None:
    found = quote(BOOK, token_class, model, DAY, service_tier=tier, context_window=context)
    assert (found and found.unit_price) == (expected and Decimal(expected))


def test_a_price_holds_on_its_days() -> None:
    before = quote(
        BOOK, "input", "claude-opus-4-6", date(2026, 3, 12), service_tier="standard", context_window="200k-1M"
    )
    after = quote(
        BOOK, "input", "claude-opus-4-6", date(2026, 3, 13), service_tier="standard", context_window="200k-1M"
    )
    assert (before and before.unit_price, after and after.unit_price) == (Decimal(10), Decimal(5))


def test_every_seeded_model_since_claude_3_writes_its_cache_at_a_price_and_batches_at_half() -> None:
    seeded = [
        price for price in SEED if price.service_tier == "default" and "cache_write_5m_per_million" in price.rates
    ]
    assert len(seeded) > 20
    for price in seeded:
        rates = price.rates
        assert rates["batch_output_per_million"] * 2 == rates["output_per_million"], price.model_id
        assert rates["cache_write_1h_per_million"] > rates["cache_write_5m_per_million"] > rates["input_per_million"]
        assert rates["cached_input_per_million"] < rates["input_per_million"]
