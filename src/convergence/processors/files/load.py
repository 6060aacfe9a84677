"""files.load: an uploaded CSV, NDJSON or Parquet file into a declared table, each of its days replaced whole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from convergence.catalog.schemas import Column, TableSchema
from convergence.connectors.files import FileLayout, spell_json
from convergence.connectors.layout import AmountUnit, FieldSpec, FieldType, TimeFormat
from convergence.connectors.strict_rows import Reject
from convergence.errors import ConfigError, Fault
from convergence.steps import StepContext, StepResult, file_days
from convergence.steps.files import FileTable, days_of, file_name, find_upload, publish_file, read_table
from convergence.steps.loading import DayLoad

if TYPE_CHECKING:
    import pyarrow as pa

_SCALARS: Final[tuple[FieldType, ...]] = ("STRING", "INT64", "NUMERIC", "BOOL", "TIMESTAMP", "DATE")
_OTHER_NAMES: Final[dict[str, FieldType]] = {
    "INTEGER": "INT64",
    "BOOLEAN": "BOOL",
    "DECIMAL": "NUMERIC",
    "JSON": "STRING",
}
FIELD_TYPES: Final[dict[str, FieldType]] = {**{name: name for name in _SCALARS}, **_OTHER_NAMES}


class Source(BaseModel):
    """Where a column comes from: a column of the file by its name, or the same `value` in every row.

    `unit` is what an amount counts: cents and micro become whole units. `time` is how a time is written.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str | None = None
    value: str | None = None
    unit: AmountUnit = "whole"
    time: TimeFormat = "rfc3339"


class Config(BaseModel):
    """`table` names the schema. Columns that `columns` does not name are taken by their own names.

    `part` names a column that several files of a day share the table by: a file replaces the rows with its own value.
    `members` is which files of an archive are read. Times without a zone are refused unless `assume_utc`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    columns: dict[str, Source] = Field(default_factory=dict)
    part: str | None = None
    amount_column: str | None = None
    format: Literal["csv", "ndjson", "parquet"] | None = None
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    null_texts: tuple[str, ...] = ()
    assume_utc: bool = False
    members: str = "*"


def get_engine() -> LoadProcessor:
    return LoadProcessor()


class LoadProcessor:
    """Everything is read before anything is written."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        schema = context.catalog.schema(config.table)
        _check(config, schema)
        upload, name = await find_upload(context), file_name(context)
        table = await asyncio.to_thread(read_table, upload.path, name, build_layout(config, schema), config.members)
        rows = spell_json_columns(_add_values(table.rows, config, schema), schema)
        load = _build_load(config, schema)
        total = await publish_file(context, load, rows, table.rejects, lambda reject: _day(reject, load.day_column))
        total.check()
        metadata = {**total.metadata, "files": list(table.members), **file_days(days_of(rows, load.day_column))}
        return StepResult(total.rows, metadata, tuple(_find_warnings(table)))


def build_layout(config: Config, schema: TableSchema) -> FileLayout:
    """The columns of the file that fill the table."""
    fields = tuple(
        _field(column, config.columns.get(column.name, Source()))
        for column in schema.measures_and_dimensions
        if config.columns.get(column.name, Source()).value is None
    )
    return FileLayout(fields, config.format, config.delimiter, config.null_texts, config.assume_utc)


def _field(column: Column, source: Source) -> FieldSpec:
    return FieldSpec(
        column.name,
        source.source or "",
        FIELD_TYPES[column.type.upper()],
        required=column.mode == "REQUIRED",
        time_format=source.time,
        unit=source.unit,
    )


def _check(config: Config, schema: TableSchema) -> None:
    """
    Raises:
        ConfigError: every column that the table does not have or that no file can fill.
    """
    known = {column.name: column for column in schema.measures_and_dimensions}
    wanted = {*config.columns, *(name for name in (config.part, config.amount_column) if name)}
    faults = [
        Fault(f"{config.table} has no such column", key=f"columns.{name}") for name in sorted(wanted - set(known))
    ]
    faults += [
        Fault(f"a file cannot fill a column of type {column.type}", key=f"columns.{name}")
        for name, column in known.items()
        if column.type.upper() not in FIELD_TYPES or column.mode == "REPEATED"
    ]
    if schema.partition_column is None:
        faults.append(Fault(f"{config.table} is not partitioned by a day", key="table"))
    if config.part is not None and config.columns.get(config.part, Source()).value is None:
        faults.append(Fault("is not the same in every row", key="part", expected=f"columns.{config.part}.value"))
    if faults:
        raise ConfigError(faults)


def _build_load(config: Config, schema: TableSchema) -> DayLoad:
    value = config.columns[config.part].value if config.part else None
    return DayLoad(
        config.table,
        ".".join(("files", config.table, *([value] if value else []))),
        schema.partition_column or "usage_date",
        config.amount_column,
        (config.part, value) if config.part and value else None,
    )


def spell_json_columns(rows: pa.Table, schema: TableSchema) -> pa.Table:
    """The rows with every JSON column holding JSON: text that is none becomes a JSON string."""
    for column in schema.measures_and_dimensions:
        place = rows.schema.get_field_index(column.name)
        if column.type.upper() == "JSON" and place >= 0:
            rows = rows.set_column(place, column.name, spell_json(rows[column.name]))
    return rows


def _add_values(rows: pa.Table, config: Config, schema: TableSchema) -> pa.Table:
    import pyarrow as pa

    from convergence.warehouse.arrow import build_field

    for column in schema.measures_and_dimensions:
        value = config.columns.get(column.name, Source()).value
        if value is not None:
            values = pa.repeat(pa.scalar(value), rows.num_rows).cast(build_field(column).type)
            rows = rows.append_column(column.name, values)
    return rows


def _day(reject: Reject, column: str) -> date | None:
    day = reject.bucket.get(column)
    if isinstance(day, datetime):
        return day.date()
    return day if isinstance(day, date) else None


def _find_warnings(table: FileTable) -> Iterator[str]:
    if table.unknown_columns:
        yield f"columns that were left out: {', '.join(sorted(table.unknown_columns))[:500]}"
