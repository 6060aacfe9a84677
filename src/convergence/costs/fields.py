"""Values of a price or plan as people write them, read with every fault named."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from convergence.errors import ConfigError, Fault, InvalidRequest
from convergence.kit.money import is_exact, parse_amount

Reader = Callable[[Any], Any]


def read_fields(values: Mapping[str, Any], readers: Mapping[str, Reader]) -> tuple[dict[str, Any], list[Fault]]:
    """Each value by its reader. Empty text is nothing; what no reader is for is a fault."""
    found: dict[str, Any] = {}
    faults = [
        Fault("unknown field", key=name, expected=f"one of {', '.join(readers)}")
        for name in values
        if name not in readers
    ]
    for name, reader in readers.items():
        value = values.get(name)
        if value is None or value == "":
            continue
        try:
            found[name] = reader(value)
        except (ValueError, TypeError) as error:
            faults.append(Fault(str(error), key=name, expected=reader.__doc__))
    return found, faults


def refuse(what: str, faults: list[Fault]) -> None:
    """Refuse a request for all of its faults at once.

    Raises:
        InvalidRequest: there are any.
    """
    if faults:
        text = "; ".join(str(fault) for fault in faults)
        raise InvalidRequest(f"{what}: {text}", fields={"faults": [str(fault) for fault in faults]})


def read_seed(text: str, path: str, readers: Mapping[str, Reader]) -> list[dict[str, Any]]:
    """Rows of a CSV seed.

    Raises:
        ConfigError: every fault, with its line.
    """
    rows, faults = [], []
    for line, values in enumerate(csv.DictReader(io.StringIO(text)), start=2):
        row, found = read_fields(values, readers)
        rows.append(row)
        faults += [Fault(fault.message, path, line, fault.key, fault.expected) for fault in found]
    if faults:
        raise ConfigError(faults)
    return rows


def read_text(value: Any) -> str:
    """text of at most 200 characters"""
    if not isinstance(value, str) or len(value) > 200 or not value.strip():
        raise ValueError(f"{value!r} is not text of 1 to 200 characters")
    return value.strip()


def read_day(value: Any) -> date:
    """a day such as 2026-01-31"""
    return value if isinstance(value, date) else date.fromisoformat(_string(value))


def read_price(value: Any) -> Decimal:
    """an amount such as "2.50", not negative, with at most nine decimals, as text"""
    amount = value if isinstance(value, Decimal) else Decimal(parse_amount(_string(value)))
    if amount < 0:
        raise ValueError(f"{amount} is negative")
    if not is_exact(amount) or (isinstance(value, str) and not is_exact(Decimal(value))):
        raise ValueError(f"{value} has more than nine decimals")
    return amount


def read_currency(value: Any) -> str:
    """an ISO 4217 code such as USD"""
    code = _string(value).upper()
    if len(code) != 3 or not code.isalpha() or not code.isascii():
        raise ValueError(f"{value!r} is no currency code")
    return code


def read_seats(value: Any) -> int:
    """a whole number from 0 to 1000000"""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(f"{value!r} is not a whole number")
    seats = int(value)
    if not 0 <= seats <= 1_000_000:
        raise ValueError(f"{seats} is not between 0 and 1000000")
    return seats


def read_period(value: Any) -> str:
    """month or year"""
    if value not in ("month", "year"):
        raise ValueError(f"{value!r} is neither month nor year")
    return str(value)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value
