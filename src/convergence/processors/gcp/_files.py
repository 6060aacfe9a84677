"""An exported table as people have it in a file: Parquet, JSON lines, JSON, or CSV with what is nested flattened.

BigQuery writes Parquet and JSON lines of nested columns itself; a CSV has a column for each part, such as
`service.description` or `service_description`, or JSON text where lists are.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from convergence.errors import StepFailed
from convergence.kit.jsontext import loads

if TYPE_CHECKING:
    import pyarrow as pa

    from convergence.catalog.schemas import TableSchema

_BLOCK: Final = 32 * 1024**2  # longer than any row
_NEEDED: Final = ("cost", "currency", "usage_start_time")


def read_file(path: Path, name: str, schema: TableSchema) -> pa.Table:
    """All rows of a file, in columns named like the export's. Values keep the types they were written in.

    Raises:
        StepFailed: file_unreadable: not one of these formats, or no billing export.
    """
    import pyarrow as pa

    try:
        rows = _nest(_read(path), schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError, KeyError) as error:
        raise _unreadable(name, str(error).splitlines()[0][:300] if str(error) else "no rows") from error
    missing = [column for column in _NEEDED if column not in rows.column_names]
    if missing:
        raise _unreadable(name, f"it has no column {', '.join(missing)}")
    return rows


def _unreadable(name: str, reason: str) -> StepFailed:
    return StepFailed(
        f"{name} is no Cloud Billing export: {reason}",
        code="file_unreadable",
        hint="Export the table of the billing export (standard or detailed) from BigQuery as Parquet or JSON.",
    )


def _read(path: Path) -> pa.Table:
    with path.open("rb") as file:
        start = file.read(4096)
    if start.startswith(b"PAR1"):
        return _read_parquet(path)
    if start.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] in (b"{", b"["):
        return _read_json(path)
    return _read_csv(path, start)


def _read_parquet(path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pq.read_table(path).combine_chunks()
    kinds = [_plain_type(field.type) for field in rows.schema]
    # Arrow's cast of a later chunk breaks a record with a column of nulls: only what must be is cast, and whole.
    columns = [
        column if column.type == kind else column.combine_chunks().cast(kind)
        for column, kind in zip(rows.columns, kinds, strict=True)
    ]
    return pa.table(columns, names=rows.column_names)


def _plain_type(kind: Any) -> Any:
    """Writers spell texts and lists in several ways that hold the same."""
    import pyarrow as pa

    types = pa.types
    if types.is_large_string(kind) or types.is_string_view(kind):
        return pa.string()
    if types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_list_view(kind):
        return pa.list_(kind.value_field.with_type(_plain_type(kind.value_type)))
    if types.is_struct(kind):
        return pa.struct([field.with_type(_plain_type(field.type)) for field in kind])
    return kind


def _read_json(path: Path) -> pa.Table:
    """In columns where every value of a field is written the same way; one by one where some numbers are text."""
    import pyarrow as pa
    import pyarrow.json as pj

    try:
        return pj.read_json(path, read_options=pj.ReadOptions(block_size=_BLOCK))
    except pa.ArrowInvalid:
        return _read_json_texts(path.read_bytes())


def _read_json_texts(content: bytes) -> pa.Table:
    import msgspec
    import pyarrow as pa

    try:
        rows = [loads(line) for line in content.splitlines() if line.strip()]
    except msgspec.DecodeError:
        whole = loads(content)
        rows = whole if isinstance(whole, list) else [whole]
    texts = [_as_texts(row) for row in rows]
    names = dict.fromkeys(name for row in texts for name in row)
    return pa.table({name: pa.array([row.get(name) for row in texts]) for name in names})


def _as_texts(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _as_texts(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_texts(item) for item in value]
    return value if value is None or isinstance(value, bool) else str(value)


def _read_csv(path: Path, start: bytes) -> pa.Table:
    import pyarrow as pa
    import pyarrow.csv as pc

    line = start.decode("utf-8-sig", errors="replace").splitlines()[0]
    delimiter = max(",;\t", key=line.count)
    names = next(csv.reader(io.StringIO(line), delimiter=delimiter))
    return pc.read_csv(
        path,
        read_options=pc.ReadOptions(block_size=_BLOCK),
        parse_options=pc.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pc.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True),
    )


def _nest(rows: pa.Table, schema: TableSchema) -> pa.Table:
    """Flattened parts put together to the records that they were."""
    for column in schema.measures_and_dimensions:
        if column.type != "STRUCT" or column.mode == "REPEATED":
            continue
        parts = {field.name: _find_part(rows, column.name, field.name) for field in column.fields}
        found = {name: rows[part] for name, part in parts.items() if part is not None}
        if found and (column.name not in rows.column_names or not _is_nested(rows, column.name)):
            rows = _put(rows, column.name, found)
    return rows


def _find_part(rows: pa.Table, column: str, field: str) -> str | None:
    names = (f"{column}.{field}", f"{column}_{field}", column if column == field else "")
    return next((name for name in names if name in rows.column_names), None)


def _is_nested(rows: pa.Table, column: str) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = rows.schema.field(column).type
    if not pa.types.is_string(kind):
        return bool(pa.types.is_struct(kind))
    return bool(pc.any(pc.starts_with(rows[column], "{")).as_py())


def _put(rows: pa.Table, name: str, parts: Mapping[str, pa.ChunkedArray]) -> pa.Table:
    import pyarrow as pa

    arrays = [part.combine_chunks() for part in parts.values()]
    record = pa.StructArray.from_arrays(arrays, names=list(parts))
    place = rows.schema.get_field_index(name)
    return rows.append_column(name, record) if place < 0 else rows.set_column(place, name, record)
