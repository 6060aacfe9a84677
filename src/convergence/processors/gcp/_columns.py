"""Columns of an export, however they were written, in the types of our table.

The export gains columns over time: what a source lacks is null, what no column takes is left out. A source is a result
of BigQuery, Parquet, JSON, in which BigQuery writes numbers and times as text, or CSV, where what is nested is JSON.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

from convergence.processors.gcp._numbers import parse_numbers, round_numbers

if TYPE_CHECKING:
    import pyarrow as pa

_EPOCH: Final = r"^[0-9]+(\.[0-9]+)?([eE]\+?[0-9]+)?$"
_TIME: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[-+][0-9]{2}(:?[0-9]{2})?)$"
)
_ZONELESS: Final = r"^([0-9-]{10}[ T][0-9:.]+)$"


def fit_column(values: Any, target: Any) -> pa.Array:
    """The values as `target`: lists without nulls, NUMERIC from exact text, times in UTC."""
    import pyarrow as pa

    if pa.types.is_null(values.type):
        return empty_column(len(values), target)
    if pa.types.is_list(target):
        return _fit_list(parse_nested(values), target)
    if pa.types.is_struct(target):
        return _fit_struct(parse_nested(values), target)
    if pa.types.is_decimal(target):
        return round_numbers(parse_numbers(values))
    if pa.types.is_timestamp(target):
        return parse_times(values)
    return _fit_scalar(values, target)


def empty_column(count: int, target: Any) -> pa.Array:
    """Nulls, or empty lists."""
    import pyarrow as pa

    if not pa.types.is_list(target):
        return pa.nulls(count, target)
    return pa.ListArray.from_arrays(pa.array([0] * (count + 1), pa.int32()), pa.nulls(0, target.value_type), target)


def parse_nested(values: Any) -> pa.Array:
    """Lists and records; those that are JSON text are parsed."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.json as pj

    if not pa.types.is_string(values.type):
        return values
    texts = pc.replace_substring_regex(pc.fill_null(pc.utf8_trim_whitespace(values), ""), r"[\r\n]+", " ")
    texts = pc.if_else(pc.equal(texts, ""), "null", texts)
    lines = "\n".join(pc.binary_join_element_wise('{"v":', texts, "}", "").to_pylist()).encode()
    options = pj.ReadOptions(block_size=max(1 << 20, len(lines) + 1))
    return pj.read_json(io.BytesIO(lines), read_options=options)["v"].combine_chunks()


def parse_times(values: Any) -> pa.Array:
    """UTC microseconds; null for text that is no time. A time without a zone is UTC, a number counts seconds."""
    import pyarrow as pa
    import pyarrow.compute as pc

    target = pa.timestamp("us", tz="UTC")
    if pa.types.is_timestamp(values.type):
        return pc.cast(values if values.type.tz else pc.assume_timezone(values, "UTC"), target, safe=False)
    texts = pc.utf8_trim_whitespace(pc.cast(values, pa.string()))
    texts = pc.replace_substring_regex(texts, r"\s*UTC$", "Z")
    texts = pc.replace_substring_regex(texts, _ZONELESS, r"\1Z")
    times = pc.cast(pc.if_else(pc.match_substring_regex(texts, _TIME), texts, None), target)
    epochs = pc.cast(pc.if_else(pc.match_substring_regex(texts, _EPOCH), texts, None), pa.float64())
    micros = pc.cast(pc.round(pc.multiply(epochs, 1e6)), pa.int64())
    return pc.coalesce(times, pc.cast(micros, target))


def _fit_list(values: Any, target: Any) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_null(values.type):
        return empty_column(len(values), target)
    lengths = pc.cast(pc.fill_null(pc.list_value_length(values), 0), pa.int32())
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cast(pc.cumulative_sum(lengths), pa.int32())])
    return pa.ListArray.from_arrays(offsets, fit_column(pc.list_flatten(values), target.value_type), target)


def _fit_struct(values: Any, target: Any) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_null(values.type):
        return pa.nulls(len(values), target)
    known = {field.name for field in values.type}
    children = [
        fit_column(pc.struct_field(values, field.name), field.type)
        if field.name in known
        else empty_column(len(values), field.type)
        for field in target
    ]
    return pa.StructArray.from_arrays(children, fields=list(target), mask=pc.is_null(values))


def _fit_scalar(values: Any, target: Any) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    fitted = pc.cast(values, target)
    if pa.types.is_string(target):
        return pc.if_else(pc.equal(fitted, ""), None, fitted)
    return fitted
