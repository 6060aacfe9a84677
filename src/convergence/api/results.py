"""Rows of a query as JSON, CSV, Arrow or Parquet."""

from __future__ import annotations

import base64
import csv
import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.responses import Response

from convergence.errors import QueryRejected
from convergence.kit.jsontext import format_time
from convergence.kit.money import format_amount

if TYPE_CHECKING:
    import pyarrow as pa

ARROW_STREAM: Final = "application/vnd.apache.arrow.stream"
PARQUET: Final = "application/vnd.apache.parquet"
_BYTES_KEY: Final = b"bytes_processed"


@dataclass(frozen=True, slots=True)
class Result:
    """At most as many rows as were asked for; `truncated` tells whether there were more."""

    table: pa.Table
    truncated: bool
    duration_ms: int

    @classmethod
    def of(cls, table: pa.Table, *, max_rows: int, duration_ms: int) -> Result:
        """
        Raises:
            QueryRejected: two columns have one name, which neither JSON nor Parquet can hold.
        """
        names = table.column_names
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise QueryRejected(f"two columns are called {', '.join(twice)}", hint="Give one of them an alias.")
        return cls(table.slice(0, max_rows), table.num_rows > max_rows, duration_ms)

    def headers(self, name: str) -> dict[str, str]:
        return {
            "X-Row-Count": str(self.table.num_rows),
            "X-Truncated": "true" if self.truncated else "false",
            "X-Duration-Ms": str(self.duration_ms),
            "Content-Disposition": f'attachment; filename="{name}"',
        }

    @property
    def bytes_processed(self) -> int | None:
        """What the warehouse noted in the table's metadata, where its engine can tell."""
        noted = (self.table.schema.metadata or {}).get(_BYTES_KEY)
        return int(noted) if noted is not None else None


def write_json(result: Result) -> Response:
    """NUMERIC and BIGNUMERIC are text without exponent, INT64 numbers, days and times ISO 8601, BYTES base64.

    JSON columns are their text, as BigQuery's own API has them. NaN and infinity, which JSON lacks, are text.
    """
    from convergence.warehouse.arrow import bigquery_type

    content = {
        "columns": [{"name": field.name, "type": bigquery_type(field)} for field in result.table.schema],
        "rows": _rows(result.table),
        "row_count": result.table.num_rows,
        "truncated": result.truncated,
        "duration_ms": result.duration_ms,
        "bytes_processed": result.bytes_processed,
    }
    return Response(msgspec.json.encode(content), media_type="application/json")


def write_csv(result: Result) -> Response:
    """Values as in JSON, NULL as nothing, arrays and structs as JSON text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(result.table.column_names)
    writer.writerows([_cell(value) for value in row.values()] for row in _rows(result.table))
    return Response(text.getvalue().encode(), media_type="text/csv", headers=result.headers("query.csv"))


def write_arrow(result: Result) -> Response:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, result.table.schema) as writer:
        writer.write_table(result.table)
    content = sink.getvalue().to_pybytes()
    return Response(content, media_type=ARROW_STREAM, headers=result.headers("query.arrows"))


def write_parquet(result: Result) -> Response:
    import pyarrow as pa
    import pyarrow.parquet

    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(result.table, sink, compression="zstd")
    content = sink.getvalue().to_pybytes()
    return Response(content, media_type=PARQUET, headers=result.headers("query.parquet"))


FORMATS: Final[Mapping[str, Callable[[Result], Response]]] = {
    "json": write_json,
    "csv": write_csv,
    "arrow": write_arrow,
    "parquet": write_parquet,
}


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    columns = [[_value(value) for value in column.to_pylist()] for column in table.columns]
    names = table.column_names
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)] if columns else []


def _value(value: Any) -> Any:  # noqa: PLR0911 - one line a type
    match value:
        case Decimal():
            return format_amount(value)
        case float() if not math.isfinite(value):
            return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
        case datetime():
            return format_time(value) if value.tzinfo else value.isoformat()
        case date() | time():
            return value.isoformat()
        case bytes():
            return base64.b64encode(value).decode()
        case list():
            return [_value(item) for item in value]
        case dict():
            return {name: _value(item) for name, item in value.items()}
        case _:
            return value


def _cell(value: Any) -> Any:
    match value:
        case bool():
            return "true" if value else "false"
        case list() | dict():
            return msgspec.json.encode(value).decode()
        case _:
            return value
