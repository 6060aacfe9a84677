"""Exact amounts as whole numbers of a small unit, so that sums are exact."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal

PICO_PLACES = 12
Sums = defaultdict[str, int]


def empty_sums() -> Sums:
    return defaultdict(int)


def nested_sums() -> defaultdict[str, Sums]:
    return defaultdict(empty_sums)


def pico(dollars: str) -> int:
    """Whole picodollars of a dollar amount."""
    return int(Decimal(dollars).scaleb(PICO_PLACES))


def pico_a_token(dollars_a_million: str) -> int:
    return int(Decimal(dollars_a_million) * 10**6)


def round_pico(amount: int, places: int) -> int:
    """Whole units of a decimal place, rounded half up."""
    unit = 10 ** (PICO_PLACES - places)
    return int((2 * amount + unit) // (2 * unit))


def amount_text(amount: int, places: int) -> str:
    """Whole units of the last decimal place as an exact JSON number."""
    whole, part = divmod(abs(amount), 10**places)
    text = f"{whole}.{part:0{places}d}".rstrip("0").removesuffix(".")
    return f"-{text}" if amount < 0 else text


def to_decimal(units: int, places: int) -> Decimal:
    return Decimal(units).scaleb(-places)


def to_decimals(sums: Mapping[str, Mapping[str, int]], places: int) -> dict[str, dict[str, Decimal]]:
    """Groups of sums, each in order of its keys."""
    return {name: {key: to_decimal(group[key], places) for key in sorted(group)} for name, group in sums.items()}
