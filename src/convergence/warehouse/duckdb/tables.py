"""Tables that the warehouse keeps for itself in every dataset; their names start with an underscore."""

from __future__ import annotations

from typing import Any, Final

import duckdb

from convergence.tenancy import DatasetRef

INTERNAL: Final = {
    "_dataset": "key VARCHAR PRIMARY KEY, value VARCHAR NOT NULL",
    "_table_metadata": "name VARCHAR PRIMARY KEY, definition VARCHAR NOT NULL",
    "_view_metadata": "name VARCHAR PRIMARY KEY, text VARCHAR NOT NULL, datasets VARCHAR[] NOT NULL",
    "_load_scopes": (
        "stream VARCHAR, day DATE, fence BIGINT NOT NULL, load_id VARCHAR NOT NULL, run_id VARCHAR NOT NULL,"
        " rows BIGINT NOT NULL, rejected BIGINT NOT NULL, amount DECIMAL(38, 9), content_digest VARCHAR NOT NULL,"
        " committed_at TIMESTAMPTZ NOT NULL, PRIMARY KEY (stream, day)"
    ),
    "_load_ledger": (
        "stream VARCHAR NOT NULL, day DATE NOT NULL, fence BIGINT NOT NULL, load_id VARCHAR NOT NULL,"
        " run_id VARCHAR NOT NULL, rows BIGINT NOT NULL, rejected BIGINT NOT NULL, amount DECIMAL(38, 9),"
        " content_digest VARCHAR NOT NULL, outcome VARCHAR NOT NULL, committed_at TIMESTAMPTZ NOT NULL"
    ),
}


def quote(dataset: DatasetRef, name: str) -> str:
    """The full name of a table, for DuckDB."""
    return f'"{dataset.name}".main."{name}"'


def first_row(cursor: duckdb.DuckDBPyConnection) -> tuple[Any, ...] | None:
    """The first row of what was executed; all are fetched, for an unfinished result blocks the cursor."""
    return next(iter(cursor.fetchall()), None)


def build_internal(dataset: DatasetRef) -> list[str]:
    """The statements that create them where they are missing."""
    return [f"CREATE TABLE IF NOT EXISTS {quote(dataset, name)} ({columns})" for name, columns in INTERNAL.items()]


def read_version(cursor: duckdb.DuckDBPyConnection, dataset: DatasetRef) -> str | None:
    """Which version of the internal tables and macros the file has; None for a new file."""
    found = first_row(
        cursor.execute(
            "SELECT 1 FROM duckdb_tables() WHERE database_name = $dataset AND table_name = '_dataset'",
            {"dataset": dataset.name},
        )
    )
    if not found:
        return None
    row = first_row(cursor.execute(f"SELECT value FROM {quote(dataset, '_dataset')} WHERE key = 'version'"))
    return str(row[0]) if row else None


def write_version(cursor: duckdb.DuckDBPyConnection, dataset: DatasetRef, version: str) -> None:
    cursor.execute(
        f"INSERT OR REPLACE INTO {quote(dataset, '_dataset')} VALUES ('version', $version)", {"version": version}
    )
