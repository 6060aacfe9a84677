"""Rows on their way into a load job: one Parquet file, and the types that Parquet cannot carry as text."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pyarrow as pa
import pyarrow.parquet

from convergence.catalog.schemas import Column, TableSchema
from convergence.errors import SchemaMismatch
from convergence.tenancy import TableRef
from convergence.warehouse.arrow import build_arrow_schema, canonical_type

_AS_TEXT: Final = {
    "JSON": "PARSE_JSON({0}, wide_number_mode => 'round')",  # BigQuery loads no Parquet into JSON
    "BIGNUMERIC": "CAST({0} AS BIGNUMERIC)",  # 76 digits, which few readers of Parquet know
}


def staged_schema(schema: TableSchema) -> TableSchema:
    """The table as it is staged: JSON and BIGNUMERIC as STRING, nothing REQUIRED."""
    return replace(schema, columns=tuple(_staged(column) for column in schema.columns))


def is_direct(schema: TableSchema) -> bool:
    """Whether a file of this table can be loaded into it without a stage."""
    return not any(_is_text(column) for column in schema.columns)


def unstaged(column: Column, source: str, depth: int = 0) -> str:
    """The SQL that turns a staged column into the table's."""
    if not _is_text(column):
        return source
    if column.mode == "REPEATED":
        item = f"item_{depth}"
        one = unstaged(replace(column, mode="NULLABLE"), item, depth + 1)
        return f"ARRAY(SELECT {one} FROM UNNEST({source}) AS {item} WITH OFFSET AS place ORDER BY place)"
    if canonical_type(column.type) == "STRUCT":
        inside = ", ".join(
            f"{unstaged(child, f'{source}.`{child.name}`', depth)} AS `{child.name}`" for child in column.fields
        )
        return f"IF({source} IS NULL, NULL, STRUCT({inside}))"
    return _AS_TEXT[canonical_type(column.type)].format(source)


class ParquetFile:
    """A file that grows by batches, so that memory holds one of them; gone when it is left."""

    def __init__(self, schema: TableSchema) -> None:
        self.rows = 0
        self._schema = build_arrow_schema(staged_schema(schema))
        self._folder = tempfile.TemporaryDirectory(prefix="convergence-load-")
        self.path = Path(self._folder.name) / "rows.parquet"

    def __enter__(self) -> Self:
        self._writer = pa.parquet.ParquetWriter(str(self.path), self._schema, store_decimal_as_integer=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        self._folder.cleanup()

    async def fill(
        self, batches: AsyncIterator[pa.RecordBatch], fit: Callable[[pa.RecordBatch], pa.RecordBatch]
    ) -> None:
        """Take them all, one at a time, and end the file."""
        async for batch in batches:
            await asyncio.to_thread(self._add, fit, batch)
        await asyncio.to_thread(self._writer.close)

    def add(self, batch: pa.RecordBatch) -> None:
        arrays = [array.cast(field.type) for array, field in zip(batch.columns, self._schema, strict=True)]
        if batch.num_rows:
            self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        self.rows += batch.num_rows

    def refuse_duplicates(self, table: TableRef, keys: Sequence[str]) -> None:
        """One row for each key; NULL equals NULL.

        Raises:
            SchemaMismatch: it names the first key that comes more than once.
        """
        rows = pa.parquet.read_table(str(self.path), columns=list(keys))
        counts = rows.group_by(list(keys)).aggregate([([], "count_all")])
        twice = counts.filter(pa.compute.greater(counts.column("count_all"), 1)).slice(0, 1).to_pylist()
        if twice:
            shown = ", ".join(f"{key}={twice[0][key]!r}" for key in keys)
            raise SchemaMismatch(
                f"table {table}: {twice[0]['count_all']} rows of the source have the key {shown}",
                hint="Make the keys unique in the source, or add the column that tells the rows apart.",
            )

    def _add(self, fit: Callable[[pa.RecordBatch], pa.RecordBatch], batch: pa.RecordBatch) -> None:
        self.add(fit(batch))


def _is_text(column: Column) -> bool:
    return canonical_type(column.type) in _AS_TEXT or any(_is_text(child) for child in column.fields)


def _staged(column: Column) -> Column:
    kind = canonical_type(column.type)
    mode = "NULLABLE" if column.mode == "REQUIRED" else column.mode
    fields = tuple(_staged(child) for child in column.fields)
    return Column(column.name, "STRING" if kind in _AS_TEXT else kind, mode, "", fields)
