"""Numbers of the export as exact decimals. BigQuery holds them as FLOAT64 and sends them as text.

A FLOAT64 stands for its shortest decimal text: 0.1 is a tenth, not 0.1000000000000000055.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pyarrow as pa

_NUMBER: Final = r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$"
_PLACES: Final = 36
_LIMIT: Final = 1e29  # NUMERIC ends here
_NOTHING: Final = 1e-18  # below it the text of a float has more places than the decimals here


def parse_numbers(values: Any) -> pa.Array:
    """decimal256(66, 36) of an array of floats, decimals, integers or text; null for what is no finite NUMERIC."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_decimal(values.type):
        return pc.cast(pc.round(values, ndigits=9, round_mode="half_towards_infinity"), _exact())
    texts = pc.utf8_trim_whitespace(pc.cast(values, pa.string()))
    texts = pc.if_else(pc.match_substring_regex(texts, _NUMBER), texts, None)
    sizes = pc.abs(pc.cast(texts, pa.float64()))
    texts = pc.if_else(pc.less(sizes, _LIMIT), texts, None)
    texts = pc.if_else(pc.less(sizes, _NOTHING), "0", texts)
    try:
        return pc.cast(texts, _exact())
    except pa.ArrowInvalid:  # text with more places than a float has
        return pc.cast(pc.cast(pc.cast(texts, pa.float64()), pa.string()), _exact())


def round_numbers(values: pa.Array) -> pa.Array:
    """Exact decimals as NUMERIC: rounded half away from zero at nine places."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rounded = pc.round(values, ndigits=9, round_mode="half_towards_infinity")
    return pc.cast(rounded, pa.decimal128(38, 9))


def add_numbers(one: pa.Array, other: pa.Array) -> pa.Array:
    """The exact sums of two columns of exact decimals."""
    import pyarrow.compute as pc

    return pc.cast(pc.add(one, other), _exact())


def sum_by_row(values: pa.Array, rows: pa.Array, count: int) -> pa.Array:
    """The exact sum of each of `count` rows, where `rows` says which row a value belongs to; 0 without values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    sums = pa.table({"row": rows, "value": values}).group_by("row").aggregate([("value", "sum")])
    places = pc.index_in(pa.arange(0, count), value_set=sums["row"].combine_chunks().cast(pa.int64()))
    found = pc.cast(sums["value_sum"].combine_chunks(), _exact()).take(places)
    return pc.fill_null(found, pa.scalar(0, pa.int64()).cast(_exact()))


def _exact() -> pa.DataType:
    import pyarrow as pa

    return pa.decimal256(66, _PLACES)
