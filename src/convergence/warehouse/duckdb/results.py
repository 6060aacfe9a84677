"""What DuckDB answers, as BigQuery's types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import duckdb
import pyarrow as pa

from convergence.errors import StatementFailed
from convergence.warehouse.arrow import BIGNUMERIC, NUMERIC, TIMESTAMP, TYPE_KEY

_SCALE: Final = 9
_WIDE_INTEGERS: Final = ("HUGEINT", "UHUGEINT")


def select(cursor: duckdb.DuckDBPyConnection, text: str, parameters: Mapping[str, Any]) -> pa.Table:
    """All rows of a SELECT.

    Raises:
        StatementFailed: an integer above INT64.
    """
    relation = cursor.sql(text, params=dict(parameters))
    return as_bigquery(relation.to_arrow_table(), [str(kind) for kind in relation.types])


def as_bigquery(table: pa.Table, types: list[str]) -> pa.Table:
    """`types` are DuckDB's names of the columns' types."""
    pairs = [_column(table.column(index), name) for index, name in enumerate(types)]
    fields = [
        pa.field(name, column.type, metadata={TYPE_KEY: b"JSON"} if kind == "JSON" else None)
        for name, column, kind in zip(table.column_names, pairs, types, strict=True)
    ]
    return pa.Table.from_arrays(pairs, schema=pa.schema(fields))


def _column(column: pa.ChunkedArray, kind: str) -> pa.ChunkedArray:
    if kind in _WIDE_INTEGERS:
        return _narrow(column)
    target = _target(column.type)
    if target == column.type:
        return column
    return column.cast(target)


def _narrow(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Sums of INT64 come as 128 bits, and from an aggregate over nothing as NULL."""
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise StatementFailed("an integer overflows INT64", hint="Cast to NUMERIC before summing.") from error


def _target(data_type: Any) -> Any:
    if pa.types.is_list(data_type) or pa.types.is_large_list(data_type):
        return pa.list_(_target(data_type.value_type))
    if pa.types.is_struct(data_type):
        return pa.struct([pa.field(child.name, _target(child.type)) for child in data_type])
    if pa.types.is_decimal(data_type):
        return NUMERIC if data_type.scale <= _SCALE else BIGNUMERIC
    if pa.types.is_timestamp(data_type):
        return TIMESTAMP if data_type.tz else pa.timestamp("us")
    return next((target for test, target in _SCALARS if test(data_type)), data_type)


_SCALARS: Final[tuple[tuple[Any, Any], ...]] = (
    (pa.types.is_integer, pa.int64()),
    (pa.types.is_floating, pa.float64()),
    (pa.types.is_dictionary, pa.string()),
    (pa.types.is_large_string, pa.string()),
    (pa.types.is_string_view, pa.string()),
)
