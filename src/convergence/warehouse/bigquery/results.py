"""BigQuery's rows as Arrow, by the types of their columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from google.cloud import bigquery
from google.cloud.bigquery.table import RowIterator

from convergence.warehouse.arrow import build_field
from convergence.warehouse.bigquery.tables import read_columns


def as_arrow(batches: Sequence[pa.RecordBatch], fields: Sequence[bigquery.SchemaField]) -> pa.Table:
    """The batches of one result as a table; JSON is text."""
    schema = pa.schema([build_field(column).with_nullable(True) for column in read_columns(fields)])  # noqa: FBT003 - pyarrow's signature
    arrays = [
        pa.chunked_array([plain(batch.column(index), field.type) for batch in batches], field.type)
        for index, field in enumerate(schema)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def plain(array: pa.Array, target: pa.DataType) -> pa.Array:
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    return array if array.type == target else array.cast(target)


def read_batches(rows: RowIterator, reader: Any, limit_bytes: int | None) -> list[pa.RecordBatch] | None:
    """All batches of a result; None where they are larger than the limit.

    With a `reader` (of the Storage Read API) a result of more than a page comes from there, else over REST.
    """
    batches: list[pa.RecordBatch] = []
    size = 0
    for batch in rows.to_arrow_iterable(bqstorage_client=reader):
        size += batch.nbytes
        if limit_bytes is not None and size > limit_bytes:
            return None
        batches.append(batch)
    return batches
