"""The fast way from a page to columns: Arrow's JSON reader with a schema, no Python per row.

It is all or nothing. Anything it does not take exactly as declared is left to `strict_rows`, which says what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from convergence.connectors.layout import DECIMALS, FieldSpec, PageLayout

# Wide enough to read any amount a provider writes without rounding it on the way in.
_WIDE = pa.decimal256(76, 38)
_NUMERIC = pa.decimal128(38, 9)
_TIMESTAMP = pa.timestamp("us", tz="UTC")
LONGEST_TEXT = 65_536
LATEST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z
_MEMBER = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*:')

TARGETS = {
    "STRING": pa.string(),
    "INT64": pa.int64(),
    "NUMERIC": _NUMERIC,
    "BOOL": pa.bool_(),
    "TIMESTAMP": _TIMESTAMP,
    "DATE": pa.date32(),
}


class NotUniform(Exception):
    """The page holds something that the declared columns do not take."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows of a uniform page, and the members that no field names."""

    rows: pa.RecordBatch
    unknown_fields: frozenset[str]


@cache
def arrow_schema(layout: PageLayout) -> pa.Schema:
    """Types of the decoded rows."""
    return pa.schema([pa.field(spec.name, TARGETS[spec.type]) for spec in layout.fields])


def read_columns(body: bytes, layout: PageLayout) -> Columns:
    """All rows of a page.

    Raises:
        NotUniform: read it strictly instead.
    """
    if b"\\u0000" in body:
        raise NotUniform("a NUL in a text")
    try:
        table, unknown = _parse(body, layout)
        outer = _items(table, layout.outer_path)
        arrays = _spread(outer, layout) if len(layout.lists) == 2 else _take(outer, layout.result_fields)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError) as error:
        raise NotUniform(str(error)) from error
    return Columns(pa.RecordBatch.from_arrays(arrays, schema=arrow_schema(layout)), unknown)


def _parse(body: bytes, layout: PageLayout) -> tuple[pa.Table, frozenset[str]]:
    """Inferring what is not declared costs a tenth more and tells which members are new.

    It fails when a member that nobody asked for changes its type; then the page is read without it.
    """
    schema = _json_schema(layout)
    try:
        table = _read(body, schema, "infer")
    except pa.ArrowInvalid:
        return _read(body, schema, "ignore"), _unknown_members(body, layout)
    return table, frozenset(_undeclared(table.schema, schema)) - set(layout.envelope) - layout.expected


def _read(body: bytes, schema: pa.Schema, unexpected: str) -> pa.Table:
    table = pj.read_json(
        pa.BufferReader(body),
        read_options=pj.ReadOptions(use_threads=False, block_size=len(body) + 1),
        parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior=unexpected),
    )
    if table.num_rows != 1:
        raise NotUniform("more than one JSON value")
    return table


def _items(table: pa.Table, path: tuple[str, ...]) -> pa.StructArray:
    lists = table.column(path[0]).combine_chunks()
    for part in path[1:]:
        lists = pc.struct_field(lists, [part])
    if lists.null_count:
        raise NotUniform(f"{'.'.join(path)} is missing")
    return _whole(lists.flatten())


def _spread(outer: pa.StructArray, layout: PageLayout) -> list[pa.Array]:
    """Results of all buckets, each with the fields of its bucket."""
    name = layout.lists[1]
    lists = pc.struct_field(outer, [name])
    if lists.null_count:
        raise NotUniform(f"{name} is missing")
    parents = pc.list_parent_indices(lists)
    buckets = [column.take(parents) for column in _take(outer, layout.bucket_fields)]
    return buckets + _take(_whole(lists.flatten()), layout.result_fields)


def _whole(items: pa.StructArray) -> pa.StructArray:
    if items.null_count:
        raise NotUniform("a null among the items")
    return items


def _take(items: pa.StructArray, specs: Iterable[FieldSpec]) -> list[pa.Array]:
    return [_convert(pc.struct_field(items, list(spec.path)), spec) for spec in specs]


def _convert(values: pa.Array, spec: FieldSpec) -> pa.Array:
    if spec.required and values.null_count:
        raise NotUniform(f"{spec.name} is null")
    match spec.type:
        case "NUMERIC":
            values = round_amounts(values, DECIMALS[spec.unit])
        case "TIMESTAMP":
            values = _read_times(values, spec)
        case "DATE":
            values = values.cast(pa.date32())
        case "STRING":
            _check_lengths(values)
    if spec.non_negative and (pc.min(values).as_py() or 0) < 0:
        raise NotUniform(f"{spec.name} is negative")
    return values


def round_amounts(values: pa.Array, decimals: int) -> pa.Array:
    """The point moved, then half away from zero at nine places, as `kit.money` rounds."""
    values = values.view(pa.decimal256(_WIDE.precision, _WIDE.scale + decimals))
    return pc.round(values, 9, "half_towards_infinity").cast(_NUMERIC)


def _read_times(values: pa.Array, spec: FieldSpec) -> pa.Array:
    if spec.time_format == "rfc3339":
        return values.cast(_TIMESTAMP)
    per_second = 1 if spec.time_format == "unix_s" else 1_000
    values = values.cast(pa.int64())
    if len(values) > values.null_count:
        extremes = pc.min_max(values).as_py()
        if extremes["min"] < 0 or extremes["max"] > LATEST_SECOND * per_second:
            raise NotUniform(f"{spec.name} is out of range")
    return pc.multiply_checked(values, 1_000_000 // per_second).cast(_TIMESTAMP)


def _check_lengths(values: pa.Array) -> None:
    if (pc.max(pc.binary_length(values)).as_py() or 0) > LONGEST_TEXT:
        raise NotUniform("a text that is too long")


@cache
def _json_schema(layout: PageLayout) -> pa.Schema:
    """The declared part of a page, as it stands in the JSON."""
    item = _struct(layout.result_fields)
    if len(layout.lists) == 2:
        outer = _struct(layout.bucket_fields)
        item = pa.struct([*outer, pa.field(layout.lists[1], pa.list_(item))])
    page = pa.list_(item)
    for part in reversed(layout.outer_path[1:]):
        page = pa.struct([pa.field(part, page)])
    return pa.schema([pa.field(layout.outer_path[0], page)])


def _struct(specs: Iterable[FieldSpec]) -> pa.StructType:
    tree: dict[str, Any] = {}
    for spec in specs:
        node = tree
        for part in spec.path[:-1]:
            node = node.setdefault(part, {})
        node[spec.path[-1]] = _source_type(spec)
    return _nest(tree)


def _nest(tree: dict[str, Any]) -> pa.StructType:
    return pa.struct([(name, _nest(node) if isinstance(node, dict) else node) for name, node in tree.items()])


def _source_type(spec: FieldSpec) -> pa.DataType:
    match spec.type:
        case "NUMERIC":
            return _WIDE
        case "TIMESTAMP":
            return pa.string() if spec.time_format in ("rfc3339", "unix_ms_text") else pa.int64()
        case "DATE":
            return pa.string()
        case _:
            return TARGETS[spec.type]


def _undeclared(found: Any, declared: Any) -> Iterable[str]:
    """Names in `found` that `declared` lacks, at any depth of structs and lists that both have."""
    known = {field.name: field.type for field in declared}
    for field in found:
        if field.name not in known:
            yield field.name
        else:
            inner, wanted = _item_type(field.type), _item_type(known[field.name])
            if pa.types.is_struct(inner) and pa.types.is_struct(wanted):
                yield from _undeclared(inner, wanted)


def _item_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_list(kind) else kind


def _unknown_members(body: bytes, layout: PageLayout) -> frozenset[str]:
    names = {name.decode("utf-8", "replace") for name in set(_MEMBER.findall(body))}
    parts = {part for spec in layout.fields for part in spec.path}
    lists = {*layout.outer_path, *layout.lists[1:]}
    return frozenset(names - parts - lists - set(layout.envelope) - layout.expected)
