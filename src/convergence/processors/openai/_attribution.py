"""Reported cost handed to the usage that caused it: keys, users, models and classes. Pure, on Arrow columns.

A line item bills the usage of its day, project and key whose meter fits it. Usage goes with the line that fits it best;
a line that no usage chose takes whatever it may bill; and a line with nothing to bill stays as it is, a row of its own
without a user. Each amount is split by list cost, or by quantity where a list price is missing.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from convergence.costs.allocation import allocate_groups
from convergence.processors.openai._line_items import Meter, match_line_items, parse_line_item

if TYPE_CHECKING:
    import pyarrow as pa

_NO_VALUE = "\x00"  # joins do not match nulls, and no id of the provider looks like this
_BETWEEN = "\x1f"
DEFAULT_CURRENCY = "USD"


def attribute(items: pa.Table, usage: pa.Table) -> pa.Table:
    """Rows of the cost table, without lineage.

    `items`: usage_date, project_id, api_key_id, line_item, currency, amount, is_by_key.
    `usage`: usage_date, project_id, api_key_id, user_id, model, endpoint, batch, service_tier, size, token_class,
    quantity, unit, list_unit_price, pricing_unit, list_cost, currency, price_version.
    Amounts and quantities are decimal128(38, 9); the order of the rows decides who gets an odd nano-dollar.

    The billed cost of the result sums to the amounts exactly, day by day, and its quantities to those of `usage`.
    """
    import pyarrow as pa

    usage = usage.append_column("row", pa.arange(0, usage.num_rows))
    items = items.append_column("item", pa.arange(0, items.num_rows))
    pairs = _choose(_find_pairs(items, usage))
    carriers = _find_carriers(pairs, items, usage)
    unbilled = _without(usage, "row", pairs["row"].filter(carriers))
    residual = _without(items, "item", pairs["item"])
    parts = [_bill(pairs, carriers, items, usage), _estimate(unbilled), _keep(residual)]
    rows = pa.concat_tables(parts, promote_options="default")
    return rows.drop_columns([name for name in ("row", "item", "is_by_key", "amount") if name in rows.column_names])


def _find_pairs(items: pa.Table, usage: pa.Table) -> pa.Table:
    """item, row, rank: every usage row that a line item may bill."""
    import pyarrow as pa
    import pyarrow.compute as pc

    meters, numbers = _number_meters(usage)
    matches = _build_matches(items, meters)
    usage = usage.append_column("meter", numbers)
    found = [pa.table({name: pa.array([], pa.int64()) for name in ("item", "row", "rank")})]
    for is_by_key in (True, False):
        asked = items.filter(pc.equal(items["is_by_key"], pa.scalar(is_by_key)))
        left = _scoped(asked, ["item", "line_item"], by_key=is_by_key).join(matches, "line_item", join_type="inner")
        right = _scoped(usage, ["row", "meter"], by_key=is_by_key)
        pairs = left.join(right, ["usage_date", "scope", "meter"], join_type="inner")
        found.append(pairs.select(["item", "row", "rank"]))
    return pa.concat_tables(found).sort_by([("item", "ascending"), ("row", "ascending")]).combine_chunks()


def _number_meters(usage: pa.Table) -> tuple[list[Meter], pa.Array]:
    """The distinct meters, and each row's number among them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    tier = pc.if_else(pc.fill_null(usage["batch"], fill_value=False), "batch", _filled(usage["service_tier"]))
    variant = pc.coalesce(usage["size"], tier)
    text = pc.binary_join_element_wise(_filled(usage["model"]), variant, usage["token_class"], _BETWEEN)
    encoded = _flat(text).dictionary_encode()
    return [_read_meter(meter) for meter in encoded.dictionary.to_pylist()], encoded.indices.cast(pa.int64())


def _read_meter(text: str) -> Meter:
    model, tier, token_class = text.split(_BETWEEN)
    return Meter(None if model == _NO_VALUE else model, "default" if tier in (_NO_VALUE, "auto") else tier, token_class)


def _build_matches(items: pa.Table, meters: list[Meter]) -> pa.Table:
    import pyarrow as pa

    matches = match_line_items([text for text in items["line_item"].unique().to_pylist() if text], meters)
    return pa.table(
        {
            "line_item": pa.array([match.line_item for match in matches], pa.string()),
            "meter": pa.array([match.meter for match in matches], pa.int64()),
            "rank": pa.array([match.rank for match in matches], pa.int64()),
        }
    )


def _scoped(rows: pa.Table, columns: list[str], *, by_key: bool) -> pa.Table:
    """The columns with the day and whose they are: project and key, or the project alone."""
    import pyarrow.compute as pc

    scope = _filled(rows["project_id"])
    if by_key:
        scope = pc.binary_join_element_wise(scope, _filled(rows["api_key_id"]), _BETWEEN)
    return rows.select(["usage_date", *columns]).append_column("scope", scope)


def _choose(pairs: pa.Table) -> pa.Table:
    """The pairs in which the line is the best for its usage, and all pairs of lines that are the best for none."""
    import pyarrow.compute as pc

    best = _spread(pairs, "row", "rank", "min")
    chosen = pc.equal(pairs["rank"], best)
    is_served = pc.is_in(pairs["item"], value_set=_flat(pairs["item"].filter(chosen)))
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
    return pc.is_in(pa.arange(0, len(is_same_currency)), value_set=_flat(order["pair"].take(first)))


def _bill(pairs: pa.Table, carriers: pa.Array, items: pa.Table, usage: pa.Table) -> pa.Table:
    """One row a pair: the usage's dimensions, the line, and its share of the amount."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = usage.take(pairs["row"])
    weights = _weigh(pairs, rows)
    billed = allocate_groups(_flat(items["amount"]), _flat(pairs["item"]), weights)
    nothing = pa.scalar(Decimal(0), pa.decimal128(38, 9))
    is_priced = pc.is_valid(rows["list_cost"])
    nothing_listed = pc.if_else(is_priced, nothing, pa.scalar(None, pa.decimal128(38, 9)))
    return _with(
        rows,
        line_item=items["line_item"].take(pairs["item"]),
        currency=items["currency"].take(pairs["item"]),
        quantity=pc.if_else(carriers, rows["quantity"], nothing),
        list_cost=pc.if_else(carriers, rows["list_cost"], nothing_listed),
        billed_cost=billed,
        cost_source=pa.repeat(pa.scalar("allocated"), rows.num_rows),
    )


def _weigh(pairs: pa.Table, rows: pa.Table) -> pa.Array:
    """List cost; quantity in the lines where a list price is missing or all of them are free."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = pa.table(
        {"item": _flat(pairs["item"]), "cost": _flat(rows["list_cost"]), "lacks": _flat(pc.is_null(rows["list_cost"]))}
    )
    is_free = pc.equal(pc.coalesce(_spread(table, "item", "cost", "sum"), _zero()), _zero())
    by_quantity = pc.or_(_spread(table, "item", "lacks", "max"), is_free)
    return _flat(pc.if_else(by_quantity, _flat(rows["quantity"]), pc.coalesce(table["cost"], _zero())))


def _estimate(usage: pa.Table) -> pa.Table:
    """Usage that no line bills (yet): nothing billed, its list cost beside it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return _with(
        usage,
        line_item=pa.nulls(usage.num_rows, pa.string()),
        currency=pc.fill_null(usage["currency"], DEFAULT_CURRENCY),
        billed_cost=pa.repeat(_zero(), usage.num_rows),
        cost_source=pa.repeat(pa.scalar("estimated"), usage.num_rows),
    )


def _keep(items: pa.Table) -> pa.Table:
    """Lines with nothing to bill: fees, credits, what lags behind. They keep all that the provider says of them."""
    import pyarrow as pa

    models = [parse_line_item(text).model for text in items["line_item"].to_pylist()]
    return _with(
        items,
        model=pa.array(models, pa.string()),
        quantity=pa.repeat(_zero(), items.num_rows),
        billed_cost=items["amount"],
        cost_source=pa.repeat(pa.scalar("provider"), items.num_rows),
    )


def _without(rows: pa.Table, column: str, values: pa.ChunkedArray) -> pa.Table:
    import pyarrow.compute as pc

    return rows.filter(pc.invert(pc.is_in(rows[column], value_set=_flat(values))))


def _with(rows: pa.Table, **columns: pa.Array | pa.ChunkedArray) -> pa.Table:
    for name, values in columns.items():
        place = rows.schema.get_field_index(name)
        rows = rows.append_column(name, values) if place < 0 else rows.set_column(place, name, values)
    return rows


def _spread(rows: pa.Table, key: str, column: str, function: str) -> pa.Array:
    """The aggregate of each row's group, beside the row."""
    import pyarrow.compute as pc

    groups = rows.group_by(key).aggregate([(column, function)])
    place = pc.index_in(rows[key], value_set=_flat(groups[key]))
    return _flat(_flat(groups[f"{column}_{function}"]).take(_flat(place)))


def _filled(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    return pc.fill_null(texts, _NO_VALUE)


def _flat(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa

    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def _zero() -> pa.Scalar:
    import pyarrow as pa

    return pa.scalar(Decimal(0), pa.decimal128(38, 9))
