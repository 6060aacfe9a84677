"""Reported amounts handed to the usage that caused them. Pure, on Arrow columns.

A provider says which usage row each reported item may bill, and how well they fit: those are the pairs. Usage goes with
the item that fits it best; an item that no usage chose takes whatever it may bill; and an item with nothing to bill
stays as it is, a row of its own. Each amount is split by list cost, or by quantity where a list price is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from convergence.costs.allocation import allocate_groups
from convergence.costs.kinds import flatten

if TYPE_CHECKING:
    import pyarrow as pa

DEFAULT_CURRENCY = "USD"


def number_rows(items: pa.Table, usage: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Both with the numbers that pairs name them by: `item` and `row`."""
    import pyarrow as pa

    items = items.append_column("item", pa.arange(0, items.num_rows))
    return items, usage.append_column("row", pa.arange(0, usage.num_rows))


def no_pairs() -> pa.Table:
    import pyarrow as pa

    return pa.table({name: pa.array([], pa.int64()) for name in ("item", "row", "rank")})


def attribute_pairs(items: pa.Table, usage: pa.Table, pairs: pa.Table, item_columns: Sequence[str]) -> pa.Table:
    """Rows of a cost table, without lineage.

    `items`: item, amount, currency and what the provider says of it. `usage`: row, quantity, list_cost, currency and
    its dimensions. `pairs`: item, row, rank, where the lower rank fits better. A billed row has the columns of its
    usage and, of its item, `item_columns`. Amounts and quantities are decimal128(38, 9); the order of the rows decides
    who gets an odd nano-dollar.

    The billed cost of the result sums to the amounts exactly, day by day, and its quantities to those of `usage`.
    """
    import pyarrow as pa

    pairs = _choose(pairs.sort_by([("item", "ascending"), ("row", "ascending")]).combine_chunks())
    carriers = _find_carriers(pairs, items, usage)
    unbilled = _without(usage, "row", pairs["row"].filter(carriers))
    residual = _without(items, "item", pairs["item"])
    parts = [_bill(pairs, carriers, items, usage, item_columns), _estimate(unbilled), _keep(residual)]
    rows = pa.concat_tables(parts, promote_options="default")
    return rows.drop_columns([name for name in ("row", "item", "amount") if name in rows.column_names])


def _choose(pairs: pa.Table) -> pa.Table:
    """The pairs in which the item is the best for its usage, and all pairs of items that are the best for none."""
    import pyarrow.compute as pc

    best = _spread(pairs, "row", "rank", "min")
    chosen = pc.equal(pairs["rank"], best)
    is_served = pc.is_in(pairs["item"], value_set=flatten(pairs["item"].filter(chosen)))
    kept: pa.Table = pairs.filter(pc.or_(chosen, pc.invert(is_served)))
    return kept


def _find_carriers(pairs: pa.Table, items: pa.Table, usage: pa.Table) -> pa.Array:
    """Whether a pair carries its usage's quantity and list cost: the best one of each usage row, in one currency."""
    import pyarrow as pa
    import pyarrow.compute as pc

    listed = usage["currency"].take(pairs["row"])
    is_same_currency = pc.fill_null(pc.equal(listed, items["currency"].take(pairs["item"])), fill_value=True)
    pairs = pairs.append_column("pair", pa.arange(0, pairs.num_rows)).filter(is_same_currency)
    order = pairs.sort_by([("row", "ascending"), ("rank", "ascending"), ("item", "ascending")]).combine_chunks()
    order = order.append_column("place", pa.arange(0, order.num_rows))
    first = order.group_by("row").aggregate([("place", "min")])["place_min"]
    return pc.is_in(pa.arange(0, len(is_same_currency)), value_set=flatten(order["pair"].take(first)))


def _bill(
    pairs: pa.Table, carriers: pa.Array, items: pa.Table, usage: pa.Table, item_columns: Sequence[str]
) -> pa.Table:
    """One row a pair: the usage's dimensions, the item's columns, and its share of the amount."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = usage.take(pairs["row"])
    weights = _weigh(pairs, rows)
    billed = allocate_groups(flatten(items["amount"]), flatten(pairs["item"]), weights)
    nothing = pa.scalar(Decimal(0), pa.decimal128(38, 9))
    is_priced = pc.is_valid(rows["list_cost"])
    nothing_listed = pc.if_else(is_priced, nothing, pa.scalar(None, pa.decimal128(38, 9)))
    return _with(
        rows,
        **{name: items[name].take(pairs["item"]) for name in (*item_columns, "currency")},
        quantity=pc.if_else(carriers, rows["quantity"], nothing),
        list_cost=pc.if_else(carriers, rows["list_cost"], nothing_listed),
        billed_cost=billed,
        cost_source=pa.repeat(pa.scalar("allocated"), rows.num_rows),
    )


def _weigh(pairs: pa.Table, rows: pa.Table) -> pa.Array:
    """List cost; quantity in the items where a list price is missing or all of them are free."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = pa.table(
        {
            "item": flatten(pairs["item"]),
            "cost": flatten(rows["list_cost"]),
            "lacks": flatten(pc.is_null(rows["list_cost"])),
        }
    )
    is_free = pc.equal(pc.coalesce(_spread(table, "item", "cost", "sum"), _zero()), _zero())
    by_quantity = pc.or_(_spread(table, "item", "lacks", "max"), is_free)
    return flatten(pc.if_else(by_quantity, flatten(rows["quantity"]), pc.coalesce(table["cost"], _zero())))


def _estimate(usage: pa.Table) -> pa.Table:
    """Usage that no item bills (yet): nothing billed, its list cost beside it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return _with(
        usage,
        currency=pc.fill_null(usage["currency"], DEFAULT_CURRENCY),
        billed_cost=pa.repeat(_zero(), usage.num_rows),
        cost_source=pa.repeat(pa.scalar("estimated"), usage.num_rows),
    )


def _keep(items: pa.Table) -> pa.Table:
    """Items with nothing to bill: fees, credits, what lags behind. They keep all that the provider says of them."""
    import pyarrow as pa

    return _with(
        items,
        quantity=pa.repeat(_zero(), items.num_rows),
        billed_cost=items["amount"],
        cost_source=pa.repeat(pa.scalar("provider"), items.num_rows),
    )


def _without(rows: pa.Table, column: str, values: pa.ChunkedArray) -> pa.Table:
    import pyarrow.compute as pc

    return rows.filter(pc.invert(pc.is_in(rows[column], value_set=flatten(values))))


def _with(rows: pa.Table, **columns: pa.Array | pa.ChunkedArray) -> pa.Table:
    for name, values in columns.items():
        place = rows.schema.get_field_index(name)
        rows = rows.append_column(name, values) if place < 0 else rows.set_column(place, name, values)
    return rows


def _spread(rows: pa.Table, key: str, column: str, function: str) -> pa.Array:
    """The aggregate of each row's group, beside the row."""
    import pyarrow.compute as pc

    groups = rows.group_by(key).aggregate([(column, function)])
    place = pc.index_in(rows[key], value_set=flatten(groups[key]))
    return flatten(flatten(groups[f"{column}_{function}"]).take(flatten(place)))


def _zero() -> pa.Scalar:
    import pyarrow as pa

    return pa.scalar(Decimal(0), pa.decimal128(38, 9))
