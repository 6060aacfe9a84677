"""Dated prices and the models they are for."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from convergence.costs.prices.book import Price, PriceBook, is_release

OLD = Price("o3", valid_to=date(2025, 6, 10), rates={"input_per_million": Decimal(10)})
NEW = Price("o3", valid_from=date(2025, 6, 10), rates={"input_per_million": Decimal(2)})


@pytest.mark.parametrize(
    ("model", "name", "expected"),
    [
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o-2024-08-06", "gpt-4o", True),
        ("gpt-4-0613", "gpt-4", True),
        ("omni-moderation-latest", "omni-moderation", True),
        ("ft:gpt-4o-mini:acme::abc", "ft:gpt-4o-mini", True),
        ("ft:gpt-3.5-turbo-1106:acme", "ft:gpt-3.5-turbo-", True),
        ("gpt-4o-mini", "gpt-4o", False),
        ("gpt-5.4-ultra", "gpt-5.4", False),
        ("gpt-5", "gpt-5.4", False),
    ],
)
def test_is_release(model: str, name: str, expected: bool) -> None:
    assert is_release(model, name) is expected


@pytest.mark.parametrize(("day", "price"), [(date(2025, 6, 9), OLD), (date(2025, 6, 10), NEW)])
def test_the_price_of_the_day(day: date, price: Price) -> None:
    assert PriceBook([OLD, NEW]).find("o3", day) == price


def test_the_closest_name_wins() -> None:
    book = PriceBook([Price("gpt-4o"), Price("gpt-4o-2024-05-13")])
    assert book.entry("gpt-4o-2024-05-13") == "gpt-4o-2024-05-13"


def test_prices_that_meet_do_not_overlap() -> None:
    assert not OLD.overlaps(NEW)
    assert NEW.overlaps(Price("o3", valid_from=date(2026, 1, 1)))


def test_the_version_changes_with_the_amount_and_not_with_the_source() -> None:
    dearer = Price("o3", valid_from=NEW.valid_from, rates={"input_per_million": Decimal(3)})
    renamed = Price("o3", valid_from=NEW.valid_from, rates=NEW.rates, source="somewhere")
    assert dearer.version != NEW.version
    assert renamed.version == NEW.version
