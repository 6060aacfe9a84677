"""JSON text of what a provider sent, with its values kept and its credentials gone."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from convergence.security.redaction import redact_value

_LONGEST_TEXT = 65_536


def redact_json(value: Any) -> str:
    """One line of valid JSON. Numbers keep their digits; NaN and Infinity, which JSON has not, become strings."""
    return _write(redact_value(value))


def _write(value: Any) -> str:
    match value:
        case dict():
            return "{" + ",".join(f"{_write(str(key))}:{_write(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ",".join(_write(item) for item in value) + "]"
        case Decimal():
            return str(value) if value.is_finite() else f'"{value}"'
        case str():
            return json.dumps(value[:_LONGEST_TEXT])
        case _:
            return json.dumps(value)
