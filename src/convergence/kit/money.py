"""Exact amounts: Decimal at nine places, as NUMERIC(38,9) stores them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, InvalidOperation
from functools import reduce

SCALE = 9
QUANTUM = Decimal(1).scaleb(-SCALE)
_WIDE = Context(prec=60, rounding=ROUND_HALF_UP)
_LIMIT = Decimal(10) ** 29


def parse_amount(text: str | int | Decimal, *, decimals: int = 0) -> Decimal:
    """An amount from its raw text, rounded half up to nine places, after its point has moved `decimals` to the left.

    Raises:
        ValueError: not a number, NaN, infinite, or 10**29 and above.
    """
    try:
        amount = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"not a number: {text!r}") from error
    if not amount.is_finite() or amount.copy_abs() >= _LIMIT:
        raise ValueError(f"not a finite amount below 1e29: {text!r}")
    return quantize(_WIDE.scaleb(amount, -decimals) if decimals else amount)


def quantize(amount: Decimal) -> Decimal:
    """Round half up to nine places."""
    return amount.quantize(QUANTUM, context=_WIDE)


def is_exact(amount: Decimal) -> bool:
    """Whether nine places hold it without rounding."""
    try:
        amount.quantize(QUANTUM, context=Context(prec=60, traps=[Inexact]))
    except Inexact:
        return False
    return True


def allocate(total: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """Split `total` by `weights` so that the parts sum to it exactly, by largest remainder at nine places.

    Weights are not negative; where all are zero every part is equal. Ties go to the earlier part. A negative total
    splits like its positive twin.

    Raises:
        ValueError: no weights, or a negative one.
    """
    if not weights:
        raise ValueError("nothing to allocate to")
    if min(weights) < 0:
        raise ValueError("a weight is negative")
    whole = reduce(_WIDE.add, weights)
    if not whole:
        weights, whole = [Decimal(1)] * len(weights), Decimal(len(weights))
    sign = -1 if total < 0 else 1
    units = int(quantize(total).copy_abs().scaleb(SCALE, context=_WIDE))
    floors: list[int] = []
    remainders: list[Decimal] = []
    for weight in weights:
        exact = _WIDE.divide(_WIDE.multiply(Decimal(units), weight), whole)
        floors.append(int(exact))
        remainders.append(_WIDE.subtract(exact, int(exact)))
    order = sorted(range(len(weights)), key=lambda index: (-remainders[index], index))
    for index in order[: units - sum(floors)]:
        floors[index] += 1
    return [Decimal(sign * floor).scaleb(-SCALE, context=_WIDE) for floor in floors]


def format_amount(amount: Decimal) -> str:
    """Plain text without an exponent, trailing zeros cut, as JSON carries it."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_usd(amount: Decimal) -> str:
    """For display only: dollars and cents with thousands separators."""
    cents = amount.quantize(Decimal("0.01"), context=_WIDE)
    return f"-${-cents:,}" if cents < 0 else f"${cents:,}"
