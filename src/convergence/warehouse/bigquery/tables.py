"""TableSchema to BigQuery's table, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

from google.cloud import bigquery

from convergence.catalog.schemas import Column, Mode, TableSchema
from convergence.sql.googlesql import full_name
from convergence.tenancy import DatasetRef, TableRef
from convergence.warehouse.arrow import canonical_type

DAY_MS: Final = 86_400_000
GATE: Final = "_load_gate"

_SCOPE: Final = (
    Column("stream", "STRING", "REQUIRED"),
    Column("day", "DATE", "REQUIRED"),
    Column("fence", "INT64", "REQUIRED"),
    Column("load_id", "STRING", "REQUIRED"),
    Column("run_id", "STRING", "REQUIRED"),
    Column("rows", "INT64", "REQUIRED"),
    Column("rejected", "INT64", "REQUIRED"),
    Column("amount", "NUMERIC"),
    Column("content_digest", "STRING", "REQUIRED"),
)
_COMMITTED: Final = Column("committed_at", "TIMESTAMP", "REQUIRED")
SCOPES: Final = TableSchema("_load_scopes", (*_SCOPE, _COMMITTED), clustering=("stream", "day"))
LEDGER: Final = TableSchema(
    "_load_ledger",
    (*_SCOPE, Column("outcome", "STRING", "REQUIRED"), Column("publish_id", "STRING", "REQUIRED"), _COMMITTED),
    partition_column=_COMMITTED.name,
    clustering=("stream", "publish_id"),
)
SCOPE_COLUMNS: Final = tuple(column.name for column in _SCOPE)


def gate_statement(project: str, dataset: DatasetRef) -> str:
    """The table every publishing transaction updates; it is never without its row, for it is made with it."""
    gate = full_name(project, TableRef(dataset, GATE))
    return f"CREATE TABLE IF NOT EXISTS {gate} AS SELECT 0 AS turn"


def build_table(reference: bigquery.TableReference, schema: TableSchema) -> bigquery.Table:
    table = bigquery.Table(reference, schema=build_fields(schema.columns))
    table.description = schema.description or None
    table.clustering_fields = list(schema.clustering) or None
    table.labels = {"managed_by": "convergence"}
    if schema.partition_column is not None:
        days = schema.partition_expiration_days
        table.time_partitioning = bigquery.TimePartitioning(
            type_=bigquery.TimePartitioningType.DAY,
            field=schema.partition_column,
            expiration_ms=days * DAY_MS if days else None,
        )
    return table


def build_fields(columns: Iterable[Column]) -> list[bigquery.SchemaField]:
    return [_field(column) for column in columns]


def read_columns(fields: Sequence[bigquery.SchemaField]) -> tuple[Column, ...]:
    return tuple(_column(field) for field in fields)


def read_table(table: bigquery.Table) -> TableSchema:
    """The definition as the table itself has it."""
    partitioning = table.time_partitioning
    milliseconds = partitioning.expiration_ms if partitioning else None
    return TableSchema(
        name=table.table_id,
        columns=read_columns(table.schema),
        description=table.description or "",
        partition_column=partitioning.field if partitioning else None,
        partition_expiration_days=int(milliseconds) // DAY_MS if milliseconds else None,
        clustering=tuple(table.clustering_fields or ()),
    )


def _field(column: Column) -> bigquery.SchemaField:
    options: dict[str, Any] = {"description": column.description} if column.description else {}
    return bigquery.SchemaField(
        column.name, canonical_type(column.type), column.mode, fields=build_fields(column.fields), **options
    )


def _column(field: bigquery.SchemaField) -> Column:
    return Column(
        field.name,
        canonical_type(field.field_type),
        cast("Mode", field.mode or "NULLABLE"),
        field.description or "",
        read_columns(field.fields),
    )
