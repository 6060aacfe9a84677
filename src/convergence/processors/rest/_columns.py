"""From the members of a row to the columns of a table: types by the table's schema, the rest as declared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from convergence.catalog.schemas import LINEAGE_COLUMNS, Column, TableSchema
from convergence.catalog.tables import near
from convergence.connectors import FieldSpec, PageLayout
from convergence.connectors.layout import AmountUnit, FieldType, TimeFormat
from convergence.connectors.strict_rows import Reject, read_strictly
from convergence.kit.jsontext import loads
from convergence.kit.money import parse_amount
from convergence.kit.window import Window
from convergence.steps.loading import Rejected
from convergence.steps.registry import Finding

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["date", "unix_s", "unix_ms", "unix_ms_text", "rfc3339"]
_TYPES: Final = get_args(FieldType)


class ColumnKeys(BaseModel):
    """Where a column comes from: a member of the row, of the bucket around it, or a value that all rows share.

    `unit` is what an amount counts, `format` how a time is written. Text alone is a `field`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    field: str | None = None
    bucket_field: str | None = None
    value: str | int | bool | Decimal | None = None
    unit: AmountUnit | None = None
    format: Format | None = None
    non_negative: bool = False

    @model_validator(mode="before")
    @classmethod
    def _read_short(cls, given: Any) -> Any:
        return {"field": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if sum(one is not None for one in (self.field, self.bucket_field, self.value)) != 1:
            raise ValueError("comes from one of field, bucket_field and value")
        return self

    @property
    def path(self) -> str | None:
        return self.field if self.field is not None else self.bucket_field


Columns = Mapping[str, ColumnKeys]


@dataclass(frozen=True, slots=True)
class RowMapping:
    """Pages of an API as rows of a table."""

    layout: PageLayout
    schema: TableSchema
    constants: Mapping[str, Any]

    def fit(self, rows: pa.RecordBatch) -> pa.Table:
        """Rows in the table's columns, without the lineage ones; a column that nothing maps is NULL."""
        import pyarrow as pa
        import pyarrow.compute as pc

        target = self.target()
        arrays = []
        for field in target:
            if field.name in self.constants:
                arrays.append(pa.repeat(pa.scalar(self.constants[field.name], field.type), rows.num_rows))
            elif field.name in rows.schema.names:
                arrays.append(pc.cast(rows[field.name], field.type))  # a time becomes its UTC day
            else:
                arrays.append(pa.nulls(rows.num_rows, field.type))
        return pa.Table.from_arrays(arrays, schema=target)

    def target(self) -> pa.Schema:
        import pyarrow as pa

        from convergence.warehouse.arrow import build_arrow_schema

        wanted = build_arrow_schema(self.schema)
        return pa.schema([wanted.field(column.name) for column in self.schema.measures_and_dimensions])

    def reject(self, refused: Reject, window: Window) -> Rejected:
        """A refused row with its day, as far as the row still tells it; else the window's first."""
        found = self._find_day(refused)
        day = found if found is not None and found in window else window.start
        return Rejected(day, refused.reason, refused.error_path, refused.raw_json)

    def _find_day(self, refused: Reject) -> date | None:
        name = self.schema.partition_column
        if (found := refused.bucket.get(name or "")) is not None:
            return _day(found)
        spec = next((spec for spec in self.layout.result_fields if spec.name == name), None)
        if spec is None:
            return None
        row = read_strictly({"data": [loads(refused.raw_json)]}, PageLayout((spec,), rows=("data[]",))).rows
        return _day(row[0][0].as_py()) if row.num_rows else None


def build_mapping(columns: Columns, data_path: Sequence[str], schema: TableSchema) -> RowMapping:
    """The mapping of columns that `find_faults` has nothing against."""
    specs = {
        name: _build_spec(column, keys, is_day=name == schema.partition_column)
        for name, keys in columns.items()
        if keys.path is not None and (column := schema.column(name))
    }
    layout = PageLayout(
        result_fields=tuple(spec for name, spec in specs.items() if columns[name].field is not None),
        bucket_fields=tuple(spec for name, spec in specs.items() if columns[name].bucket_field is not None),
        rows=tuple(f"{path}[]" for path in data_path),
    )
    constants = {
        name: _read_constant(keys.value, column)
        for name, keys in columns.items()
        if keys.value is not None and (column := schema.column(name))
    }
    return RowMapping(layout, schema, constants)


def find_faults(given: Mapping[str, Any], schema: TableSchema) -> Iterator[Finding]:
    """What a table has against the columns of a step; what is wrong in a column itself is told elsewhere."""
    known = [column.name for column in schema.measures_and_dimensions]
    for name, raw in given.items():
        column = schema.column(name)
        if name in LINEAGE_COLUMNS:
            yield f"columns.{name}", "is filled by the platform", "no mapping"
        elif column is None:
            yield f"columns.{name}", f"is no column of {schema.name}" + near(name, known), ", ".join(known)
        elif (keys := _read_keys(raw)) is not None:
            yield from ((f"columns.{name}{at}", message, expected) for at, message, expected in _faults(keys, column))
    for column in schema.measures_and_dimensions:
        if column.mode == "REQUIRED" and column.name not in given:
            yield "columns", f"{column.name} is missing, which {schema.name} requires", f"a mapping of {column.name}"


def _faults(keys: ColumnKeys, column: Column) -> Iterator[Finding]:
    if column.type not in _TYPES or column.mode == "REPEATED":
        kind = f"{column.type} {column.mode}"
        yield "", f"is {kind}, which cannot be mapped", f"a single value of type {', '.join(_TYPES)}"
        return
    if keys.unit is not None and column.type != "NUMERIC":
        yield ".unit", f"means nothing for {column.type}", "a NUMERIC column"
    if keys.format is not None and keys.format not in _formats(column.type):
        yield ".format", f"is not how a {column.type} is written", ", ".join(_formats(column.type)) or "no format"
    if keys.value is not None:
        try:
            _read_constant(keys.value, column)
        except (ValueError, TypeError):
            yield ".value", f"is no {column.type}", f"a value of type {column.type}"


def _formats(kind: str) -> tuple[str, ...]:
    times = get_args(TimeFormat)
    return {"TIMESTAMP": times, "DATE": ("date", *times)}.get(kind, ())


def _read_keys(raw: Any) -> ColumnKeys | None:
    try:
        return ColumnKeys.model_validate(raw)
    except ValidationError:
        return None


def _build_spec(column: Column, keys: ColumnKeys, *, is_day: bool) -> FieldSpec:
    """A day that is written as a time is read as one. Ids may be numbers: they are text here."""
    is_time = column.type == "TIMESTAMP" or keys.format not in (None, "date")
    return FieldSpec(
        column.name,
        keys.path or "",
        "TIMESTAMP" if is_time else _field_type(column),
        required=is_day or column.mode == "REQUIRED",
        non_negative=keys.non_negative,
        time_format="rfc3339" if keys.format is None or keys.format == "date" else keys.format,
        unit=keys.unit or "whole",
        from_number=column.type == "STRING",
    )


def _field_type(column: Column) -> FieldType:
    return next(kind for kind in _TYPES if kind == column.type)


def _read_constant(value: Any, column: Column) -> Any:
    """
    Raises:
        ValueError, TypeError: it is not of the column's type.
    """
    is_flag, is_whole = isinstance(value, bool), isinstance(value, int) and not isinstance(value, bool)
    match column.type:
        case "NUMERIC" if not is_flag:
            return parse_amount(value)
        case "DATE" if isinstance(value, str):
            return date.fromisoformat(value)
        case "TIMESTAMP" if isinstance(value, str):
            return datetime.fromisoformat(value)
        case "STRING" if isinstance(value, str):
            return value
        case "INT64" if is_whole:
            return value
        case "BOOL" if is_flag:
            return value
    raise TypeError(f"no {column.type}")


def _day(value: date | datetime) -> date:
    return value.date() if isinstance(value, datetime) else value
