"""The values of a statement's parameters."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from convergence.errors import StatementFailed
from convergence.kit.money import SCALE
from convergence.sql.statement import Statement

_MOST_DIGITS: Final = 38


def bind(statement: Statement, names: frozenset[str]) -> dict[str, Any]:
    """The parameters that the text uses.

    Raises:
        StatementFailed: one is missing, or an amount that NUMERIC cannot hold.
    """
    missing = sorted(names - statement.parameters.keys())
    if missing:
        raise StatementFailed(f"no value for @{', @'.join(missing)}", hint="Give every parameter a value.")
    return {name: _bound(name, statement.parameters[name]) for name in sorted(names)}


def _bound(name: str, value: Any) -> Any:
    if isinstance(value, Decimal):
        _check_amount(name, value)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_bound(name, item) for item in value]
    return value


def _check_amount(name: str, value: Decimal) -> None:
    exponent = value.as_tuple().exponent
    exact = value.is_finite() and isinstance(exponent, int) and exponent >= -SCALE
    if not exact or value.adjusted() >= _MOST_DIGITS - SCALE:
        raise StatementFailed(f"@{name}: {value} is not a NUMERIC(38, 9)", hint="Round it to nine places first.")
