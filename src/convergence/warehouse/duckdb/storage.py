"""BIGNUMERIC is wider than DuckDB's decimals: it is stored in the widest there is, DECIMAL(38, 18)."""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa

from convergence.errors import SchemaMismatch

WIDEST: Final = pa.decimal128(38, 18)


def storage_schema(schema: pa.Schema) -> pa.Schema:
    """The schema as DuckDB takes it."""
    return pa.schema([field.with_type(_storage_type(field.type)) for field in schema])


def to_storage(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch in a schema that `storage_schema` made.

    Raises:
        SchemaMismatch: an amount of more than 20 digits before, or 18 after, the point.
    """
    if batch.schema.equals(schema):
        return batch
    try:
        return batch.cast(schema)
    except pa.ArrowInvalid as error:
        raise SchemaMismatch(
            f"a BIGNUMERIC does not fit DECIMAL(38, 18): {error}", hint="DuckDB holds 38 digits; use NUMERIC."
        ) from error


def _storage_type(data_type: Any) -> Any:
    if pa.types.is_decimal256(data_type):
        return WIDEST
    if pa.types.is_list(data_type):
        return pa.list_(data_type.value_field.with_type(_storage_type(data_type.value_type)))
    if pa.types.is_struct(data_type):
        return pa.struct([field.with_type(_storage_type(field.type)) for field in data_type])
    return data_type
