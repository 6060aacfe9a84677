"""Splitting reported amounts over rows so that the parts sum to them exactly, a column at a time.

`kit.money.allocate` says what is right for one amount; this does the same for all amounts of a day in Arrow's integer
decimals, so that the engine below has no say in how money is rounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convergence.errors import DataQualityError

if TYPE_CHECKING:
    import pyarrow as pa

_DIGITS = 24  # of nano-units: 49 for a product and 74 for its quotient still fit Arrow's 76


def allocate_groups(totals: pa.Array, groups: pa.Array, weights: pa.Array) -> pa.Array:
    """Each row's share of its group's total, by largest remainder at nine places.

    `totals` is decimal128(38, 9) by group number, `groups` the int64 group number of each row, `weights` its
    decimal128(38, 9) weight, never negative. A group whose weights are all zero is split equally. Ties go to the
    earlier row. A group without rows keeps its total: nothing here gives it away.

    Raises:
        DataQualityError: a weight is negative, or an amount is 10**15 and above.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not len(groups):
        return pa.array([], pa.decimal128(38, 9))
    row_totals = _nanos(totals.take(groups))
    shares = _effective_weights(_nanos(weights), groups)
    sums = _group_sums(shares, groups)
    product = pc.multiply(pc.abs(row_totals), shares)
    floors = pc.cast(pc.trunc(pc.divide(product, sums)), pa.decimal256(_DIGITS, 0))
    remainders = pc.subtract(product, pc.multiply(floors, sums))
    missing = pc.subtract(pc.abs(row_totals), _group_sums(floors, groups))
    bonus = pc.less(_rank(groups, remainders), pc.cast(missing, pa.int64()))
    units = pc.add(floors, pc.cast(pc.cast(bonus, pa.int64()), pa.decimal256(19, 0)))
    signed = pc.if_else(pc.less(row_totals, _zero()), pc.negate(units), units)
    return _amounts(signed)


def multiply(quantities: pa.Array, prices: pa.Array, divisors: pa.Array) -> pa.Array:
    """quantity x price / divisor, rounded half up at nine places; null where a factor is.

    All but `divisors` (int64) are decimal128(38, 9) and not negative.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    product = pc.multiply(_nanos(quantities), _nanos(prices))  # in 1e-18
    unit = pc.multiply(pc.cast(divisors, pa.decimal256(19, 0)), _integer(10**9))
    divisor = pc.cast(unit, pa.decimal256(22, 0))
    exact = pc.divide(product, divisor)
    return _amounts(pc.round(exact, ndigits=0, round_mode="half_up"))


def _effective_weights(weights: pa.Array, groups: pa.Array) -> pa.Array:
    """The weights, or ones in a group where all are zero."""
    import pyarrow.compute as pc

    if pc.any(pc.less(weights, _zero())).as_py():
        raise DataQualityError("a weight to allocate by is negative", code="negative_quantity")
    is_empty = pc.equal(_group_sums(weights, groups), _zero())
    return pc.if_else(is_empty, _integer(1), weights)


def _group_sums(values: pa.Array, groups: pa.Array) -> pa.Array:
    """The sum of each row's group, beside the row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = pa.table({"group": groups, "value": values}).group_by("group").aggregate([("value", "sum")])
    place = pc.index_in(groups, value_set=_flat(table["group"]))
    return pc.cast(_flat(table["value_sum"]), pa.decimal256(_DIGITS, 0)).take(place)


def _rank(groups: pa.Array, remainders: pa.Array) -> pa.Array:
    """Each row's place in its group, from 0, by falling remainder; the earlier row first among equals."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = pa.arange(0, len(groups))
    table = pa.table({"group": groups, "remainder": remainders, "row": rows})
    order = pc.sort_indices(
        table, sort_keys=[("group", "ascending"), ("remainder", "descending"), ("row", "ascending")]
    )
    ordered = pa.table({"group": groups.take(order), "place": rows})
    first = ordered.group_by("group").aggregate([("place", "min")])
    start = _flat(first["place_min"]).take(pc.index_in(ordered["group"], value_set=_flat(first["group"])))
    return _flat(pc.subtract(rows, start)).take(pc.inverse_permutation(pc.cast(order, pa.int64())))


def _nanos(amounts: pa.Array) -> pa.Array:
    """Whole nano-units: the same digits without the point."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return pc.cast(_flat(amounts).view(pa.decimal128(38, 0)), pa.decimal256(_DIGITS, 0))
    except pa.ArrowInvalid as error:
        raise DataQualityError("an amount is 10**15 or above", code="amount_out_of_range") from error


def _amounts(nanos: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    return _flat(pc.cast(nanos, pa.decimal128(38, 0))).view(pa.decimal128(38, 9))


def _flat(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa

    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def _zero() -> pa.Scalar:
    return _integer(0)


def _integer(value: int) -> pa.Scalar:
    from decimal import Decimal

    import pyarrow as pa

    return pa.scalar(Decimal(value), pa.decimal256(_DIGITS, 0))
