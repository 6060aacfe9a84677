"""Which conversion rates can be right."""

from decimal import Decimal

import pytest

from convergence.processors.gcp._cost_rows import is_possible_rate


@pytest.mark.parametrize(
    ("currency", "rate", "possible"),
    [
        ("USD", "1", True),
        ("USD", "83.3", False),
        ("INR", "83.3", True),
        ("INR", "0.012", False),
        ("JPY", "149.5", True),
        ("JPY", "0.0067", False),
        ("EUR", "0.92", True),
        ("GBP", "0.78", True),
        ("EUR", "0", False),
        ("AUD", "0.65", False),
        ("AUD", None, False),
    ],
)
def test_an_inverted_rate_is_impossible(currency: str, rate: str | None, possible: bool) -> None:
    assert is_possible_rate(currency, None if rate is None else Decimal(rate)) is possible
