"""Table schemas as Arrow, and Arrow as BigQuery's types.

BIGNUMERIC is decimal256(76, 38) towards the outside; DuckDB keeps it as DECIMAL(38, 18), its nearest. JSON is text with
the field's metadata saying so.
"""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa

from convergence.catalog.schemas import Column, TableSchema
from convergence.errors import SchemaMismatch

NUMERIC: Final = pa.decimal128(38, 9)
BIGNUMERIC: Final = pa.decimal256(76, 38)
TIMESTAMP: Final = pa.timestamp("us", tz="UTC")
TYPE_KEY: Final = b"bigquery_type"

_SCALARS: Final[dict[str, pa.DataType]] = {
    "STRING": pa.string(),
    "BYTES": pa.binary(),
    "INT64": pa.int64(),
    "FLOAT64": pa.float64(),
    "BOOL": pa.bool_(),
    "NUMERIC": NUMERIC,
    "BIGNUMERIC": BIGNUMERIC,
    "DATE": pa.date32(),
    "DATETIME": pa.timestamp("us"),
    "TIMESTAMP": TIMESTAMP,
    "TIME": pa.time64("us"),
    "JSON": pa.string(),
}
_ALIASES: Final = {
    "INTEGER": "INT64",
    "FLOAT": "FLOAT64",
    "BOOLEAN": "BOOL",
    "DECIMAL": "NUMERIC",
    "BIGDECIMAL": "BIGNUMERIC",
    "RECORD": "STRUCT",
}


def canonical_type(name: str) -> str:
    """GoogleSQL's name of a type that the Table resource may call otherwise."""
    return _ALIASES.get(name.upper(), name.upper())


def build_arrow_schema(schema: TableSchema) -> pa.Schema:
    """The Arrow schema of a table, in the order of its columns."""
    return pa.schema([build_field(column) for column in schema.columns])


def build_field(column: Column) -> pa.Field:
    """The Arrow field of a column; REPEATED is a list that is never null inside BigQuery."""
    kind = _element_type(column)
    metadata = {TYPE_KEY: b"JSON"} if canonical_type(column.type) == "JSON" else None
    data_type = pa.list_(kind) if column.mode == "REPEATED" else kind
    return pa.field(column.name, data_type, nullable=column.mode != "REQUIRED", metadata=metadata)


def _element_type(column: Column) -> pa.DataType:
    name = canonical_type(column.type)
    if name == "STRUCT":
        return pa.struct([build_field(child) for child in column.fields])
    if name not in _SCALARS:
        raise SchemaMismatch(
            f"column {column.name}: type {column.type} is not known",
            hint=f"Use one of {', '.join(sorted(_SCALARS))} or STRUCT.",
        )
    return _SCALARS[name]


def bigquery_type(field: pa.Field) -> str:
    """BigQuery's name of a column's type: INT64, NUMERIC, ARRAY<STRING>, STRUCT<a INT64>, ..."""
    if field.metadata and TYPE_KEY in field.metadata:
        return str(field.metadata[TYPE_KEY].decode())
    return type_name(field.type)


def type_name(data_type: pa.DataType) -> str:
    """BigQuery's name of an Arrow type."""
    if pa.types.is_struct(data_type):
        inside = (f"{child.name} {bigquery_type(child)}" for child in data_type)
        return f"STRUCT<{', '.join(inside)}>"
    if pa.types.is_list(data_type) or pa.types.is_large_list(data_type):
        return f"ARRAY<{bigquery_type(data_type.value_field)}>"
    if pa.types.is_timestamp(data_type):
        return "TIMESTAMP" if data_type.tz else "DATETIME"
    return next((name for test, name in _TESTS if test(data_type)), "STRING")


_TESTS: Final[tuple[tuple[Any, str], ...]] = (
    (pa.types.is_boolean, "BOOL"),
    (pa.types.is_integer, "INT64"),
    (pa.types.is_floating, "FLOAT64"),
    (pa.types.is_decimal256, "BIGNUMERIC"),
    (pa.types.is_decimal, "NUMERIC"),
    (pa.types.is_date, "DATE"),
    (pa.types.is_time, "TIME"),
    (pa.types.is_binary, "BYTES"),
    (pa.types.is_large_binary, "BYTES"),
)
