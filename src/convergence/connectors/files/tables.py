"""CSV, Parquet and JSON lines in declared columns: the good rows, and each bad one with its reason."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from convergence.connectors.columns import arrow_schema
from convergence.connectors.decode import decode_page
from convergence.connectors.files.texts import Values, read_texts, write_texts
from convergence.connectors.layout import FieldSpec, PageLayout
from convergence.connectors.redaction import redact_json
from convergence.connectors.strict_rows import Reject
from convergence.errors import InvalidRequest, ProviderMisbehaved, ProviderUnavailable

Format = Literal["csv", "ndjson", "parquet"]
MOST_REJECTS: Final = 10_000
_BLOCK: Final = 8 * 1024**2
_BATCH_ROWS: Final = 64 * 1024
_DELIMITERS: Final = ",;\t|"
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class FileLayout:
    """The columns to take, by their names in the file: `FieldSpec.source`, or the column's own name.

    `format` and `delimiter` are found out where they are None. A text among `null_texts` is no value; an empty one
    never is. Times without a zone are refused unless `assume_utc`.
    """

    fields: tuple[FieldSpec, ...]
    format: Format | None = None
    delimiter: str | None = None
    null_texts: tuple[str, ...] = ()
    assume_utc: bool = False

    @property
    def page(self) -> PageLayout:
        return PageLayout(result_fields=self.fields, rows=("data[]",), envelope=())


@dataclass(frozen=True, slots=True)
class FileRows:
    """A piece of a file. `rows` has the layout's columns; `unknown_fields` are columns that no field names."""

    rows: pa.RecordBatch
    rejects: list[Reject]
    unknown_fields: frozenset[str] = frozenset()


def read_header(path: Path, *, delimiter: str | None = None) -> tuple[str, ...]:
    """The names of a file's columns; none for JSON lines, where each row has its own. May block.

    Raises:
        InvalidRequest: file_unreadable.
    """
    match find_format(path):
        case "parquet":
            return tuple(_open_parquet(path).schema_arrow.names)
        case "csv":
            return _read_csv_header(path, delimiter)[0]
        case _:
            return ()


def read_rows(path: Path, layout: FileLayout) -> Iterator[FileRows]:
    """The rows, some ten thousand at a time. May block.

    Raises:
        InvalidRequest: file_unreadable; columns_missing: a required column is not there; too_many_bad_rows.
    """
    rejected = 0
    for piece in _READERS[layout.format or find_format(path)](path, layout):
        rejected += len(piece.rejects)
        if rejected > MOST_REJECTS:
            raise InvalidRequest(
                f"more than {MOST_REJECTS} rows are bad (the first of the last ones: {piece.rejects[0].reason})",
                code="too_many_bad_rows",
                hint="The file is not what its pipeline expects. Nothing was written.",
            )
        yield piece


def find_format(path: Path) -> Format:
    """What a file is, by how it begins."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(b"PAR1"):
        return "parquet"
    return "ndjson" if head.removeprefix(_BOM).lstrip().startswith(b"{") else "csv"


def _read_csv(path: Path, layout: FileLayout) -> Iterator[FileRows]:
    names, delimiter, has_rows = _read_csv_header(path, layout.delimiter)
    _check_columns(names, layout)
    ragged: list[pa_csv.InvalidRow] = []
    line = 2
    try:
        for batch in _open_csv(path, names, delimiter, ragged) if has_rows else ():
            yield _take(batch, layout, line)
            line += batch.num_rows
    except pa.ArrowInvalid as error:
        raise _unreadable(str(error).partition("\n")[0][:200]) from None
    if ragged:
        yield FileRows(
            pa.RecordBatch.from_pylist([], schema=arrow_schema(layout.page)), [_ragged(row) for row in ragged]
        )


def _open_csv(
    path: Path, names: tuple[str, ...], delimiter: str, ragged: list[pa_csv.InvalidRow]
) -> Iterator[pa.RecordBatch]:
    def keep(row: pa_csv.InvalidRow) -> str:
        if len(ragged) <= MOST_REJECTS:
            ragged.append(row)
        return "skip"

    types = dict.fromkeys(names, pa.string())
    yield from pa_csv.open_csv(
        path,
        read_options=pa_csv.ReadOptions(block_size=_BLOCK, use_threads=False),
        parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=keep),
        convert_options=pa_csv.ConvertOptions(column_types=types, strings_can_be_null=False),
    )


def _read_csv_header(path: Path, delimiter: str | None) -> tuple[tuple[str, ...], str, bool]:
    """Names, delimiter, and whether anything comes behind them."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline(1024 * 1024)
            delimiter = delimiter or max(_DELIMITERS, key=first.count)
            names = tuple(next(csv.reader([first], delimiter=delimiter, strict=True), ()))
            has_rows = any(line.strip() for line in file)
    except (UnicodeDecodeError, csv.Error):
        raise _unreadable("its first line is no line of CSV in UTF-8") from None
    if not any(names) or len(set(names)) != len(names):
        raise _unreadable("its first line does not name each column once")
    return names, delimiter, has_rows


def _ragged(row: pa_csv.InvalidRow) -> Reject:
    reason = f"{row.actual_columns} columns where {row.expected_columns} are named"
    return Reject(reason, f"line {row.number}" if row.number else "", redact_json(row.text))


def _read_parquet(path: Path, layout: FileLayout) -> Iterator[FileRows]:
    file = _open_parquet(path)
    _check_columns(tuple(file.schema_arrow.names), layout)
    line = 1
    try:
        for batch in file.iter_batches(_BATCH_ROWS, use_threads=False):
            texts = [write_texts(column) for column in batch.columns]
            yield _take(pa.RecordBatch.from_arrays(texts, names=batch.schema.names), layout, line)
            line += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(str(error)[:200]) from None


def _open_parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(str(error)[:200]) from None


def _read_lines(path: Path, layout: FileLayout) -> Iterator[FileRows]:
    with path.open("rb") as file:
        file.seek(len(_BOM) if file.read(len(_BOM)) == _BOM else 0)
        while lines := file.readlines(_BLOCK):
            body = b'{"data":[' + b",".join(line for line in lines if line.strip()) + b"]}"
            try:
                page = decode_page(body, layout.page)
            except (ProviderUnavailable, ProviderMisbehaved) as error:
                raise _unreadable(error.message) from None
            yield FileRows(page.rows, page.rejects, page.unknown_fields)


def _check_columns(names: tuple[str, ...], layout: FileLayout) -> None:
    missing = [_source(spec) for spec in layout.fields if spec.required and _source(spec) not in names]
    if missing:
        raise InvalidRequest(
            f"the file has no column {', '.join(missing)}; it has {', '.join(names)[:500]}",
            code="columns_missing",
            hint="Is it the right file for this pipeline?",
        )


def _take(texts: pa.RecordBatch, layout: FileLayout, first_line: int) -> FileRows:
    """The good rows of a batch of text, and the bad ones."""
    columns = {spec.name: _column(texts, spec, layout) for spec in layout.fields}
    is_bad = pa.array([False] * texts.num_rows)
    for column in columns.values():
        is_bad = pc.or_(is_bad, column.is_bad)
    arrays = [column.values.filter(pc.invert(is_bad)) for column in columns.values()]
    rows = pa.RecordBatch.from_arrays(arrays, schema=arrow_schema(layout.page))
    bad = pc.indices_nonzero(is_bad).to_pylist()
    unknown = frozenset(texts.schema.names) - {_source(spec) for spec in layout.fields}
    return FileRows(rows, [_reject(texts, layout, columns, row, first_line + row) for row in bad], unknown)


def _column(texts: pa.RecordBatch, spec: FieldSpec, layout: FileLayout) -> Values:
    source = _source(spec)
    column = texts.column(source) if source in texts.schema.names else pa.nulls(texts.num_rows, pa.string())
    return read_texts(column, spec, layout.null_texts, assume_utc=layout.assume_utc)


def _reject(texts: pa.RecordBatch, layout: FileLayout, columns: dict[str, Values], row: int, line: int) -> Reject:
    spec = next(spec for spec in layout.fields if columns[spec.name].is_bad[row].as_py())
    values: dict[str, Any] = {name: column.values[row].as_py() for name, column in columns.items()}
    raw = {name: texts.column(name)[row].as_py() for name in texts.schema.names}
    return Reject(columns[spec.name].reason, f"row {line}, {_source(spec)}", redact_json(raw), values)


def _source(spec: FieldSpec) -> str:
    return spec.source or spec.name


def _unreadable(reason: str) -> InvalidRequest:
    return InvalidRequest(
        f"the file cannot be read: {reason}",
        code="file_unreadable",
        hint="CSV in UTF-8 with a line of names, JSON lines, and Parquet are read, alone or in a ZIP.",
    )


_READERS: Final = {"csv": _read_csv, "parquet": _read_parquet, "ndjson": _read_lines}
