"""JSON as the product writes it: Decimal as text, times in UTC with Z."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from convergence.kit.money import format_amount

_DECODER = msgspec.json.Decoder(float_hook=Decimal)


def plain(value: Any) -> Any:
    """`value` with amounts as text and times as ISO 8601 with Z, ready for any JSON encoder."""
    match value:
        case Decimal():
            return format_amount(value)
        case datetime():
            return format_time(value)
        case dict():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(item) for item in value]
        case _:
            return value


def format_time(moment: datetime) -> str:
    """ISO 8601 in UTC with Z; microseconds only where there are any."""
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.isoformat().replace("+00:00", "Z")


def dumps(value: Any) -> str:
    """Compact JSON text, keys in their own order."""
    return msgspec.json.encode(plain(value)).decode()


def canonical(value: Any) -> str:
    """Compact JSON text with sorted keys: equal values give equal text."""
    return msgspec.json.encode(plain(value), order="sorted").decode()


def loads(text: str | bytes) -> Any:
    """Parse JSON; numbers with a fraction come as Decimal."""
    return _DECODER.decode(text)
