"""Columns of text as values of their declared types, a whole column at a time; each text that is none is marked."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from convergence.connectors.columns import LATEST_SECOND, LONGEST_TEXT, TARGETS, round_amounts
from convergence.connectors.layout import DECIMALS, FieldSpec

_WIDE: Final = pa.decimal256(76, 38)
_TIMESTAMP: Final = pa.timestamp("us", tz="UTC")
_WHOLE: Final = r"^[+-]?\d{1,18}(\.0{1,9})?$"
_NUMBER: Final = r"^[+-]?(\d{1,29}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,2})?$"
_TRUTHS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_MOMENT: Final = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})$"
_NO_ZONE: Final = r"^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?)$"
_NO_TIME: Final = r"^(\d{4}-\d{2}-\d{2})$"
_DAY: Final = r"^\d{4}-?\d{2}-?\d{2}$"
_EXPECTED: Final = {
    "INT64": "expected a whole number",
    "NUMERIC": "expected a number below 1e29 with at most 30 decimals",
    "BOOL": "expected true or false",
    "TIMESTAMP": "expected a time with its zone, such as 2026-01-31T00:00:00Z",
    "DATE": "expected a day such as 2026-01-31",
    "STRING": f"expected text without NUL of at most {LONGEST_TEXT} bytes",
}


@dataclass(frozen=True, slots=True)
class Values:
    """A column. Where `is_bad` is true the value is null and `reason` says why."""

    values: pa.Array
    is_bad: pa.Array
    reason: str


def read_texts(texts: pa.Array, spec: FieldSpec, null_texts: Sequence[str] = (), *, assume_utc: bool = False) -> Values:
    """The values of a column of text. White space around them does not count, except in text."""
    trimmed = pc.utf8_trim_whitespace(texts)
    is_null = pc.or_(pc.is_null(texts), pc.is_in(trimmed, value_set=pa.array(["", *null_texts])))
    source = texts if spec.type == "STRING" else trimmed
    if assume_utc and spec.type in ("TIMESTAMP", "DATE"):
        source = pc.replace_substring_regex(source, _NO_ZONE, r"\1 \2Z")
        source = pc.replace_substring_regex(source, _NO_TIME, r"\1 00:00:00Z")
    wanted = pc.if_else(is_null, pa.scalar(None, pa.string()), source)
    values = _READERS[spec.type](wanted, spec)
    is_bad = pc.and_(pc.is_null(values), pc.is_valid(wanted))
    reason = f"{_EXPECTED[spec.type]}{', required' if spec.required else ''}"
    if spec.required:
        is_bad = pc.or_(is_bad, is_null)
    if spec.non_negative and pc.any(is_negative := _is_negative(values)).as_py():
        return Values(values, pc.or_(is_bad, is_negative), f"{reason}, not negative")
    return Values(values, is_bad, reason)


def write_texts(column: pa.Array) -> pa.Array:
    """A column of any type as text that `read_texts` takes. A number keeps the digits that it is written with."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return write_texts(column.dictionary_decode())
    if pa.types.is_nested(kind):
        return pa.array([None if item is None else _json(item) for item in column.to_pylist()], pa.string())
    if pa.types.is_timestamp(kind):
        texts = column.cast(pa.timestamp("us", tz=kind.tz), safe=False).cast(pa.string())
        return texts if kind.tz else pc.binary_join_element_wise(texts, "Z", "")
    return column.cast(pa.string())


def spell_json(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text that is JSON as it is, any other as a JSON string. Each distinct text is looked at once."""
    coded = texts.combine_chunks().dictionary_encode()
    coded = coded if isinstance(coded, pa.DictionaryArray) else coded.combine_chunks()
    spelled = pa.array([_spell(text) for text in coded.dictionary.to_pylist()], pa.string())
    return pa.chunked_array([spelled.take(coded.indices)])


def _spell(text: str) -> str:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return json.dumps(text)
    return text


def _json(item: Any) -> str:
    """Maps come from Arrow as lists of pairs."""
    is_map = isinstance(item, list) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in item)
    return json.dumps(dict(item) if is_map and item else item, default=str)


def _read_string(texts: pa.Array, _spec: FieldSpec) -> pa.Array:
    is_good = pc.and_(pc.less_equal(pc.binary_length(texts), LONGEST_TEXT), pc.invert(pc.match_substring(texts, "\0")))
    return _keep(texts, is_good)


def _read_whole(texts: pa.Array, _spec: FieldSpec) -> pa.Array:
    good = _matching(texts, _WHOLE)
    return pc.replace_substring_regex(good, r"^\+|\.0+$", "").cast(pa.int64())


def _read_amount(texts: pa.Array, spec: FieldSpec) -> pa.Array:
    good = _matching(texts, _NUMBER)
    return _try_each(good, _NUMERIC, lambda part: round_amounts(part.cast(_WIDE), DECIMALS[spec.unit]))


def _read_flag(texts: pa.Array, _spec: FieldSpec) -> pa.Array:
    place = pc.index_in(pc.utf8_lower(texts), value_set=pa.array(list(_TRUTHS)))
    return pa.array(list(_TRUTHS.values())).take(place)


def _read_moment(texts: pa.Array, spec: FieldSpec) -> pa.Array:
    if spec.time_format == "rfc3339":
        return _try_each(_matching(texts, _MOMENT), _TIMESTAMP, lambda part: part.cast(_TIMESTAMP))
    per_second = 1 if spec.time_format == "unix_s" else 1_000
    numbers = _matching(texts, r"^\d{1,15}$").cast(pa.int64())
    numbers = _keep(numbers, pc.less_equal(numbers, LATEST_SECOND * per_second))
    return pc.multiply(numbers, 1_000_000 // per_second).cast(_TIMESTAMP)


def _read_day(texts: pa.Array, _spec: FieldSpec) -> pa.Array:
    """A moment with its zone is of its UTC day."""
    days = pc.replace_substring_regex(_matching(texts, _DAY), r"^(\d{4})-?(\d{2})-?(\d{2})$", r"\1-\2-\3")
    days = _try_each(days, pa.date32(), lambda part: part.cast(pa.date32()))
    moments = _try_each(_matching(texts, _MOMENT), _TIMESTAMP, lambda part: part.cast(_TIMESTAMP))
    return pc.coalesce(days, moments.cast(pa.date32()))


_NUMERIC: Final = TARGETS["NUMERIC"]
_READERS: Final[dict[str, Callable[[pa.Array, FieldSpec], pa.Array]]] = {
    "STRING": _read_string,
    "INT64": _read_whole,
    "NUMERIC": _read_amount,
    "BOOL": _read_flag,
    "TIMESTAMP": _read_moment,
    "DATE": _read_day,
}


def _is_negative(values: pa.Array) -> pa.Array:
    return pc.fill_null(pc.less(values, pa.scalar(0, values.type)), fill_value=False)


def _matching(texts: pa.Array, pattern: str) -> pa.Array:
    return _keep(texts, pc.match_substring_regex(texts, pattern))


def _keep(values: pa.Array, is_good: pa.Array) -> pa.Array:
    return pc.if_else(pc.fill_null(is_good, fill_value=False), values, pa.scalar(None, values.type))


def _try_each(texts: pa.Array, target: pa.DataType, convert: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """All at once; by halves where one of them looks right and is not: the 31st of February, or 1e29."""
    try:
        return convert(texts)
    except pa.ArrowInvalid:
        if len(texts) == 1:
            return pa.nulls(1, target)
    middle = len(texts) // 2
    parts = [_try_each(part, target, convert) for part in (texts.slice(0, middle), texts.slice(middle))]
    return pa.concat_arrays(parts)
