"""Rows of an export as rows of gcp_billing_daily_raw, and those that cannot be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from convergence.processors.gcp._columns import empty_column, fit_column, parse_nested, parse_times
from convergence.processors.gcp._numbers import add_numbers, parse_numbers, round_numbers, sum_by_row
from convergence.security import redact
from convergence.steps.loading import Rejected

if TYPE_CHECKING:
    import pyarrow as pa

    from convergence.catalog.schemas import TableSchema

TABLE: Final = "gcp_billing_daily_raw"
STREAM: Final = "gcp.billing"
PARTITION: Final = "partition_date"
UPLOAD: Final = "upload"  # the export_table of rows from files: the same rows under another name are the same
_DERIVED: Final = (PARTITION, "usage_date", "export_table", "net_cost")


@dataclass(frozen=True, slots=True)
class BillingRows:
    """Good rows in the table's columns, lineage aside, and the bad ones."""

    rows: pa.Table
    rejects: tuple[Rejected, ...] = ()


def export_columns(schema: TableSchema) -> list[str]:
    """The columns that an export itself has."""
    return [column.name for column in schema.measures_and_dimensions if column.name not in _DERIVED]


def build_rows(source: pa.Table, schema: TableSchema, export_table: str) -> BillingRows:
    """`source` has the export's columns, those it knows, and maybe the day of its load partition.

    Without one a row belongs to the day of its export_time. Rounding is once an amount, of the net cost after its sum.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    target = _target(schema)
    columns = {name: _fit(source, target.field(name)) for name in export_columns(schema)}
    credit, bad_credits = _sum_credits(source)
    cost = parse_numbers(_column(source, "cost"))
    columns["cost"] = round_numbers(cost)
    columns["net_cost"] = round_numbers(add_numbers(cost, credit))
    columns["usage_date"] = pc.cast(columns["usage_start_time"], pa.date32(), safe=False)
    columns[PARTITION] = _partition_days(source, columns)
    columns["export_table"] = pa.repeat(pa.scalar(export_table), source.num_rows)
    rows = pa.Table.from_arrays([columns[name] for name in target.names], schema=target)
    return _split(source, rows, bad_credits)


def empty_rows(schema: TableSchema) -> pa.Table:
    return _target(schema).empty_table()


def _target(schema: TableSchema) -> pa.Schema:
    import pyarrow as pa

    from convergence.warehouse.arrow import build_field

    fields = [build_field(column) for column in schema.measures_and_dimensions]
    return pa.schema([field.with_nullable(True) for field in fields])  # noqa: FBT003 - pyarrow's signature


def _column(source: pa.Table, name: str) -> Any:
    import pyarrow as pa

    if name not in source.column_names:
        return pa.nulls(source.num_rows)
    column = source[name]
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _fit(source: pa.Table, field: pa.Field) -> pa.Array:
    if field.name not in source.column_names:
        return empty_column(source.num_rows, field.type)
    return fit_column(_column(source, field.name), field.type)


def _sum_credits(source: pa.Table) -> tuple[pa.Array, pa.Array]:
    """The exact sum of each row's credits, and the places of rows in which one is no number."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lists = parse_nested(_column(source, "credits"))
    if not pa.types.is_list(lists.type) or not pa.types.is_struct(lists.type.value_type):
        return sum_by_row(parse_numbers(pa.nulls(0)), pa.array([], pa.int64()), source.num_rows), pa.array([])
    rows = pc.cast(pc.list_parent_indices(lists), pa.int64())
    given = pc.struct_field(pc.list_flatten(lists), "amount")
    amounts = parse_numbers(given)
    bad = rows.filter(pc.and_(pc.is_valid(given), pc.is_null(amounts)))
    return sum_by_row(amounts, rows, source.num_rows), pc.unique(bad)


def _partition_days(source: pa.Table, columns: dict[str, Any]) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    exported = pc.cast(columns["export_time"], pa.date32(), safe=False)
    days = pc.coalesce(exported, columns["usage_date"])
    for name in (PARTITION, "partition_time", "_PARTITIONTIME"):
        if name in source.column_names:
            days = pc.coalesce(_days(_column(source, name)), days)
    return days


def _days(values: Any) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_date(values.type):
        return pc.cast(values, pa.date32())
    if pa.types.is_string(values.type):
        values = pc.replace_substring_regex(values, r"^([0-9]{4}-[0-9]{2}-[0-9]{2})$", r"\1 00:00:00Z")
    return pc.cast(parse_times(values), pa.date32(), safe=False)


def _split(source: pa.Table, rows: pa.Table, bad_credits: pa.Array) -> BillingRows:
    import pyarrow as pa
    import pyarrow.compute as pc

    places = pa.arange(0, rows.num_rows)
    faults = {
        "cost": pc.is_null(rows["cost"]),
        "credits.amount": pc.is_in(places, value_set=pc.cast(bad_credits, pa.int64())),
        "currency": pc.is_null(rows["currency"]),
        "usage_start_time": pc.is_null(rows["usage_start_time"]),
    }
    good = pa.array([True] * rows.num_rows) if rows.num_rows else pa.array([], pa.bool_())
    for mask in faults.values():
        good = pc.and_(good, pc.invert(mask))
    if pc.all(good, min_count=0).as_py():
        return BillingRows(rows)
    return BillingRows(rows.filter(good), tuple(_rejects(source, rows, faults)))


def _rejects(source: pa.Table, rows: pa.Table, faults: dict[str, Any]) -> Iterator[Rejected]:
    seen: set[int] = set()
    for path, mask in faults.items():
        for place, is_bad in enumerate(mask.to_pylist()):
            if is_bad and place not in seen:
                seen.add(place)
                day = rows[PARTITION][place].as_py() or date(1970, 1, 1)
                raw = json.dumps(source.slice(place, 1).to_pylist()[0], default=str)
                yield Rejected(day, f"{path} is missing or not what it should be", path, redact(raw))
