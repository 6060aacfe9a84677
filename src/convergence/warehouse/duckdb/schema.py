"""Tables and their definitions: created, widened, remembered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import msgspec

from convergence.catalog.schemas import Column, TableSchema
from convergence.errors import SchemaMismatch, StatementFailed
from convergence.tenancy import DatasetRef, TableRef
from convergence.warehouse.arrow import build_arrow_schema, canonical_type
from convergence.warehouse.duckdb.tables import first_row, quote
from convergence.warehouse.protocol import SchemaChange
from convergence.warehouse.widening import merge_schemas, refuse_changes

Connection = duckdb.DuckDBPyConnection

_TYPES: Final = {
    "STRING": "VARCHAR",
    "BYTES": "BLOB",
    "INT64": "BIGINT",
    "FLOAT64": "DOUBLE",
    "BOOL": "BOOLEAN",
    "NUMERIC": "DECIMAL(38, 9)",
    "BIGNUMERIC": "DECIMAL(38, 18)",
    "DATE": "DATE",
    "DATETIME": "TIMESTAMP",
    "TIMESTAMP": "TIMESTAMPTZ",
    "TIME": "TIME",
    "JSON": "JSON",
}


def full_name(table: TableRef) -> str:
    return quote(table.dataset, table.name)


def identifier(name: str) -> str:
    """A name in quotes."""
    return '"' + name.replace('"', '""') + '"'


def read_schema(cursor: Connection, table: TableRef) -> TableSchema | None:
    """The definition that `ensure` remembered."""
    row = first_row(
        cursor.execute(
            f"SELECT definition FROM {quote(table.dataset, '_table_metadata')} WHERE name = $name", {"name": table.name}
        )
    )
    return msgspec.json.decode(row[0], type=TableSchema) if row else None


def require_schema(cursor: Connection, table: TableRef) -> TableSchema:
    """The table's definition.

    Raises:
        StatementFailed: there is no such table.
    """
    schema = read_schema(cursor, table)
    if schema is None:
        raise StatementFailed(
            f"table {table} does not exist", code="table_missing", hint="Create it from its schema file with ensure."
        )
    return schema


def ensure_table(cursor: Connection, table: TableRef, wanted: TableSchema) -> SchemaChange:
    """Create the table or add what it lacks."""
    build_arrow_schema(wanted)  # names an unknown type before anything is written
    present = read_schema(cursor, table)
    if present is None:
        cursor.execute(f"CREATE TABLE IF NOT EXISTS {full_name(table)} ({_column_list(wanted.columns)})")
        _remember(cursor, table, wanted)
        return SchemaChange(created=True)
    return _widen(cursor, table, present, wanted)


def drop_relation(cursor: Connection, table: TableRef) -> bool:
    """Drop a table or a view; whether it was there."""
    kind = relation_kind(cursor, table)
    if kind is None:
        return False
    cursor.execute(f"DROP {kind} {full_name(table)}")
    for metadata in ("_table_metadata", "_view_metadata"):
        cursor.execute(f"DELETE FROM {quote(table.dataset, metadata)} WHERE name = $name", {"name": table.name})
    return True


@dataclass(frozen=True, slots=True)
class View:
    """A view's DuckDB text, and the datasets it reads."""

    name: str
    text: str
    datasets: tuple[str, ...]


def replace_view(cursor: Connection, view: TableRef, text: str, tables: frozenset[TableRef]) -> bool:
    """Create or replace it; whether it was missing.

    Raises:
        SchemaMismatch: a table has the name.
    """
    kind = relation_kind(cursor, view)
    if kind == "TABLE":
        raise SchemaMismatch(f"{view} is a table", hint="Give the view a name of its own.")
    cursor.execute(f"CREATE OR REPLACE VIEW {full_name(view)} AS {text}")
    cursor.execute(
        f"INSERT OR REPLACE INTO {quote(view.dataset, '_view_metadata')} VALUES ($name, $text, $datasets)",
        {"name": view.name, "text": text, "datasets": sorted({table.dataset.name for table in tables})},
    )
    return kind is None


def read_views(cursor: Connection, dataset: DatasetRef) -> list[View]:
    """The dataset's views that `ensure_view` made."""
    rows = cursor.execute(
        f"SELECT name, text, datasets FROM {quote(dataset, '_view_metadata')} ORDER BY name"
    ).fetchall()
    present = dict(relations(cursor, dataset))
    return [View(name, text, tuple(datasets)) for name, text, datasets in rows if present.get(name) == "VIEW"]


def read_view(cursor: Connection, view: TableRef) -> str | None:
    """The DuckDB text of a view that `ensure_view` made."""
    return next((one.text for one in read_views(cursor, view.dataset) if one.name == view.name), None)


def relation_kind(cursor: Connection, table: TableRef) -> str | None:
    """TABLE, VIEW, or None where there is neither."""
    return dict(relations(cursor, table.dataset)).get(table.name)


def relations(cursor: Connection, dataset: DatasetRef) -> list[tuple[str, str]]:
    """The dataset's own tables and views as (name, TABLE or VIEW), sorted, internal ones left out."""
    rows = cursor.execute(
        "SELECT table_name, 'TABLE' FROM duckdb_tables() WHERE database_name = $dataset AND NOT internal"
        " UNION ALL SELECT view_name, 'VIEW' FROM duckdb_views() WHERE database_name = $dataset AND NOT internal"
        " ORDER BY 1",
        {"dataset": dataset.name},
    ).fetchall()
    return [(name, kind) for name, kind in rows if not name.startswith("_")]


def duckdb_type(column: Column) -> str:
    """DuckDB's type of a column, nested ones included."""
    name = canonical_type(column.type)
    if name == "STRUCT":
        inside = ", ".join(f"{identifier(child.name)} {duckdb_type(child)}" for child in column.fields)
        base = f"STRUCT({inside})"
    else:
        base = _TYPES[name]
    return f"{base}[]" if column.mode == "REPEATED" else base


def _column_list(columns: tuple[Column, ...]) -> str:
    return ", ".join(_declaration(column) for column in columns)


def _declaration(column: Column) -> str:
    required = " NOT NULL" if column.mode == "REQUIRED" else ""
    return f"{identifier(column.name)} {duckdb_type(column)}{required}"


def _widen(cursor: Connection, table: TableRef, present: TableSchema, wanted: TableSchema) -> SchemaChange:
    refuse_changes(table, present, wanted)
    added = tuple(_add_columns(cursor, table, present.columns, wanted.columns, ""))
    merged = merge_schemas(present, wanted)
    if merged != present:
        _remember(cursor, table, merged)
    return SchemaChange(columns_added=added)


def _add_columns(
    cursor: Connection, table: TableRef, present: tuple[Column, ...], wanted: tuple[Column, ...], prefix: str
) -> Iterator[str]:
    old = {column.name: column for column in present}
    for column in wanted:
        path = f"{prefix}{column.name}"
        if column.name not in old:
            cursor.execute(
                f"ALTER TABLE {full_name(table)} ADD COLUMN IF NOT EXISTS {_path(path)} {duckdb_type(column)}"
            )
            yield path
        elif column.mode == "REPEATED" and canonical_type(column.type) == "STRUCT":
            yield from _add_columns(cursor, table, old[column.name].fields, column.fields, f"{path}.element.")
        else:
            yield from _add_columns(cursor, table, old[column.name].fields, column.fields, f"{path}.")


def _path(dotted: str) -> str:
    return ".".join(identifier(part) for part in dotted.split("."))


def _remember(cursor: Connection, table: TableRef, schema: TableSchema) -> None:
    values: dict[str, Any] = {"name": table.name, "definition": msgspec.json.encode(schema).decode()}
    cursor.execute(
        f"INSERT OR REPLACE INTO {quote(table.dataset, '_table_metadata')} VALUES ($name, $definition)", values
    )
