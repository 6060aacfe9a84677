"""Prices of classes, and the proof that nothing is lost."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pyarrow as pa
import pytest

from convergence.costs.conservation import check_conservation
from convergence.costs.prices.book import Price, PriceBook
from convergence.errors import DataQualityError
from convergence.processors.openai._token_classes import quote

DAY = date(2026, 11, 1)
BOOK = PriceBook(
    [
        Price(
            "gpt-5",
            rates={
                "input_per_million": Decimal("1.25"),
                "cached_input_per_million": Decimal("0.125"),
                "output_per_million": Decimal(10),
                "batch_input_per_million": Decimal("0.625"),
            },
        ),
        Price("gpt-5", "flex", rates={"input_per_million": Decimal("0.6")}),
        Price("gpt-5", condition="request input_tokens>272000", rates={"input_per_million": Decimal(99)}),
        Price("web-search", rates={"web_search_per_thousand": Decimal(10)}),
    ]
)


@pytest.mark.parametrize(
    ("token_class", "model", "batch", "tier", "expected"),
    [
        ("input", "gpt-5", False, "default", "1.25"),
        ("input", "gpt-5", False, None, "1.25"),
        ("input", "gpt-5-2025-08-07", False, "default", "1.25"),
        ("cached_input", "gpt-5", False, "default", "0.125"),
        ("cached_input", "gpt-5", True, "default", "0.125"),
        ("cache_write", "gpt-5", False, "default", "1.25"),
        ("input", "gpt-5", True, "default", "0.625"),
        ("input", "gpt-5", False, "flex", "0.6"),
        ("input", "gpt-5", False, "priority", None),
        ("output", "gpt-5", True, "default", None),
        ("input_audio", "gpt-5", False, "default", None),
        ("input", "gpt-5-mini", False, "default", None),
        ("web_search", "gpt-5", False, "default", "10"),
        ("web_search", None, False, None, "10"),
        ("file_search", None, False, None, None),
    ],
)
def test_quote(token_class: str, model: str | None, batch: bool, tier: str | None, expected: str | None) -> None:
    found = quote(BOOK, token_class, model, DAY, batch=batch, service_tier=tier)
    assert (found and found.unit_price) == (expected and Decimal(expected))


def rows(billed: str, quantity: str) -> pa.Table:
    return pa.table(
        {
            "usage_date": pa.array([DAY]),
            "currency": ["USD"],
            "unit": ["Tokens"],
            "billed_cost": pa.array([Decimal(billed)], pa.decimal128(38, 9)),
            "quantity": pa.array([Decimal(quantity)], pa.decimal128(38, 9)),
        }
    )


REPORTED = [{"usage_date": DAY, "currency": "USD", "amount": Decimal("1.5")}]
USED = [{"usage_date": DAY, "Tokens": Decimal(10)}]


def test_conserved() -> None:
    check_conservation(rows("1.5", "10"), REPORTED, USED)


@pytest.mark.parametrize(("billed", "quantity"), [("1.500000001", "10"), ("1.5", "11")])
def test_a_nano_dollar_or_a_token_too_many_is_found(billed: str, quantity: str) -> None:
    with pytest.raises(DataQualityError, match="2026-11-01") as caught:
        check_conservation(rows(billed, quantity), REPORTED, USED)
    assert caught.value.code == "conservation_broken"


def test_a_day_that_was_lost_is_found() -> None:
    with pytest.raises(DataQualityError, match="2026-11-01"):
        check_conservation(rows("1.5", "10").slice(0, 0), REPORTED, USED)
