"""Arrow rows made to fit a table, or refused with the column and the row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from convergence.catalog.schemas import TableSchema
from convergence.errors import SchemaMismatch
from convergence.kit.window import Window
from convergence.warehouse.arrow import build_arrow_schema, type_name

Test = Callable[[pa.DataType], bool]

_FAMILIES: Final[tuple[tuple[Test, tuple[Test, ...]], ...]] = (
    (pa.types.is_integer, (pa.types.is_integer,)),
    (pa.types.is_floating, (pa.types.is_floating, pa.types.is_integer)),
    (pa.types.is_decimal, (pa.types.is_decimal, pa.types.is_integer)),
    (pa.types.is_string, (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)),
    (pa.types.is_binary, (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)),
    (pa.types.is_date, (pa.types.is_date,)),
    (pa.types.is_time, (pa.types.is_time,)),
    (pa.types.is_boolean, (pa.types.is_boolean,)),
)


class RowFitter:
    """Fits batches to one table. Rows are counted from 0 over all batches."""

    def __init__(self, schema: TableSchema, window: Window | None) -> None:
        self._schema = schema
        self.target = build_arrow_schema(schema)
        self._window = window
        self.rows = 0

    def fit(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch in the table's columns and types; columns it lacks are NULL.

        Raises:
            SchemaMismatch: an unknown column, a type or a value that does not fit, NULL where it may not be, a row
                outside the window.
        """
        self._refuse_unknown(batch)
        arrays = [self._column(batch, field) for field in self.target]
        fitted = pa.RecordBatch.from_arrays(arrays, schema=self.target)
        self._check_window(fitted)
        self.rows += fitted.num_rows
        return fitted

    def _refuse_unknown(self, batch: pa.RecordBatch) -> None:
        names = batch.schema.names
        unknown = [name for name in names if self._schema.column(name) is None]
        if unknown:
            raise self._mismatch(f"no column {', '.join(unknown)}", "Add it to the schema file, or leave it out.")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise self._mismatch(f"column {', '.join(twice)} comes twice", "Send each column once.")

    def _column(self, batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
        if field.name not in batch.schema.names:
            array = pa.nulls(batch.num_rows, field.type)
        else:
            array = self._cast(batch.column(field.name), field)
        if not field.nullable and array.null_count:
            row = pc.index(pc.is_null(array), value=True).as_py()
            raise self._mismatch(f"column {field.name} is REQUIRED and row {self.rows + row} is NULL", "Send a value.")
        return array

    def _cast(self, array: pa.Array, field: pa.Field) -> pa.Array:
        if array.type == field.type:
            return array
        if not fits(array.type, field.type):
            raise self._mismatch(
                f"column {field.name} is {type_name(field.type)} and row {self.rows} brings {type_name(array.type)}",
                "Convert it at the border, without loss.",
            )
        try:
            return array.cast(field.type)
        except pa.ArrowInvalid as error:
            row = _first_bad(array, field.type)
            raise self._mismatch(
                f"column {field.name}: row {self.rows + row} does not fit {type_name(field.type)} without loss",
                str(error),
            ) from error

    def _check_window(self, batch: pa.RecordBatch) -> None:
        if self._window is None:
            return
        column = self.partition_column
        days = batch.column(column).cast(pa.date32(), safe=False)
        inside = pc.and_(
            pc.greater_equal(days, pa.scalar(self._window.start)), pc.less(days, pa.scalar(self._window.end))
        )
        row = pc.index(pc.fill_null(inside, fill_value=False), value=False).as_py()
        if row >= 0:
            raise self._mismatch(
                f"column {column}: row {self.rows + row} is {days[row].as_py()}, outside {self._window}",
                "Load it with the window it belongs to.",
            )

    @property
    def partition_column(self) -> str:
        """The column whose days a window replaces.

        Raises:
            SchemaMismatch: the table has none.
        """
        if self._schema.partition_column is None:
            raise self._mismatch("a window needs a partition column, and there is none", "Partition it by its day.")
        return self._schema.partition_column

    def _mismatch(self, message: str, hint: str) -> SchemaMismatch:
        return SchemaMismatch(f"table {self._schema.name}: {message}", hint=hint)


def fits(source: pa.DataType, target: pa.DataType) -> bool:
    """Whether every value of one type may have its equal in the other; a float never becomes an exact number."""
    if source == target or pa.types.is_null(source):
        return True
    if pa.types.is_dictionary(source):
        return fits(source.value_type, target)
    if pa.types.is_list(target):
        return (pa.types.is_list(source) or pa.types.is_large_list(source)) and fits(
            source.value_type, target.value_type
        )
    if pa.types.is_struct(target):
        return pa.types.is_struct(source) and _struct_fits(source, target)
    if pa.types.is_timestamp(target):
        return pa.types.is_timestamp(source) and bool(source.tz) == bool(target.tz)
    allowed = next((tests for test, tests in _FAMILIES if test(target)), ())
    return any(test(source) for test in allowed)


def _struct_fits(source: Any, target: Any) -> bool:
    known = {field.name: field.type for field in target}
    return all(field.name in known and fits(field.type, known[field.name]) for field in source)


def _first_bad(array: pa.Array, target: pa.DataType) -> int:
    """By halves: a cast fails where one of its values does."""
    low, high = 0, len(array)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            array.slice(low, middle - low).cast(target)
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low
