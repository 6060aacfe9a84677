"""The values of a statement as BigQuery's typed parameters."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from google.cloud import bigquery

Parameter = bigquery.ScalarQueryParameter | bigquery.ArrayQueryParameter

# bool before int, datetime before date: each is the other's subclass.
_TYPES: Final[tuple[tuple[type, str], ...]] = (
    (bool, "BOOL"),
    (int, "INT64"),
    (Decimal, "NUMERIC"),
    (datetime, "TIMESTAMP"),
    (date, "DATE"),
    (bytes, "BYTES"),
    (str, "STRING"),
)


def build_parameters(values: Mapping[str, Any]) -> list[Parameter]:
    """One parameter for each value that is not None: that stands in the text as NULL."""
    return [_parameter(name, value) for name, value in values.items() if value is not None]


def _parameter(name: str, value: Any) -> Parameter:
    kind = _type(value)
    if kind is not None:
        return bigquery.ScalarQueryParameter(name, kind, value)
    kinds = [found for item in value if (found := _type(item))]
    return bigquery.ArrayQueryParameter(name, kinds[0] if kinds else "STRING", list(value))


def _type(value: Any) -> str | None:
    return next((name for kind, name in _TYPES if isinstance(value, kind)), None)
