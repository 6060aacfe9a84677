"""Amounts of events split over the tokens behind them. Pure, on Arrow columns.

Cursor says what each event was charged and what it values it at, in one sum over all of its tokens. What tokens of one
class cost beside another decides the shares; the sums are Cursor's.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from convergence.costs.allocation import allocate_groups
from convergence.costs.kinds import flatten, join_texts
from convergence.costs.prices.book import PriceBook
from convergence.costs.prices.pricing import Kind, Quote, TokenClass, read_rate
from convergence.processors.cursor._client import CURRENCY

if TYPE_CHECKING:
    import pyarrow as pa

GROUP = (
    *("usage_date", "user_email", "service_account_id", "model", "kind", "is_chargeable", "max_mode"),
    "counted_in",
)
"""What the amounts of an item belong to; usage of the same group is behind them."""

_CLASSES = {
    item.name: item
    for item in (
        TokenClass("input", ("input_per_million",)),
        TokenClass("cached_input", ("cached_input_per_million", "input_per_million")),
        TokenClass("cache_write", ("cache_write_per_million", "input_per_million")),
        TokenClass("output", ("output_per_million",)),
    )
}
_USUAL = {
    "input": Decimal(1),
    "cached_input": Decimal("0.1"),
    "cache_write": Decimal("1.25"),
    "output": Decimal(5),
    "request": Decimal(1),
}
"""Usual proportions of prices, for models that the book does not have. They weigh and are never shown as a price."""

_NO_VERSION = ""


def quote(book: PriceBook, kind: Kind) -> Quote:
    """What a class weighs beside the others of its model."""
    model, name = kind["model"], kind["token_class"]
    found = book.find(model, kind["usage_date"]) if model is not None and name in _CLASSES else None
    listed = read_rate(found, _CLASSES[name], _CLASSES[name].rates) if found is not None else None
    return listed or Quote(_USUAL[name], 1_000_000, "", CURRENCY, _NO_VERSION)


def split(items: pa.Table, usage: pa.Table) -> pa.Table:
    """Rows of the cost table, without lineage.

    `items`: the columns of GROUP, currency, amount (of chargeable events), listed (null: not said) and is_stated.
    `usage`: the columns of GROUP, token_class, unit, quantity, list_cost (what it weighs) and price_version.

    Every amount is split by largest remainder over the usage of its group, so that the sums are exact. Money without
    usage is a row of its own.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    groups = join_texts(items, GROUP)
    of_usage = flatten(pc.index_in(join_texts(usage, GROUP), value_set=flatten(groups)).cast(pa.int64()))
    alone = items.filter(pc.invert(pc.is_in(pa.arange(0, items.num_rows), value_set=of_usage)))
    return pa.concat_tables([_share(items, usage, of_usage), _keep(alone)], promote_options="default")


def _share(items: pa.Table, usage: pa.Table, groups: pa.Array) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    weights = flatten(usage["list_cost"])
    listed = allocate_groups(flatten(pc.fill_null(items["listed"], Decimal(0))), groups, weights)
    is_listed = flatten(pc.is_valid(items["listed"])).take(groups)
    is_billed = pc.and_(usage["is_chargeable"], pc.equal(usage["unit"], "Tokens"))
    sources = pc.if_else(is_billed, "allocated", "provider")
    is_stated = flatten(items["is_stated"]).take(groups)
    return _build(
        usage,
        quantity=usage["quantity"],
        list_cost=pc.if_else(is_listed, listed, pa.scalar(None, listed.type)),
        billed_cost=allocate_groups(flatten(items["amount"]), groups, weights),
        currency=items["currency"].take(groups),
        cost_source=pc.if_else(is_stated, sources, "estimated"),
        price_version=_without(usage["price_version"], _NO_VERSION),
    )


def _keep(items: pa.Table) -> pa.Table:
    """Money with nothing counted beside it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    nothing = pa.scalar(Decimal(0), pa.decimal128(38, 9))
    listed = pc.fill_null(items["listed"], nothing)
    items = items.filter(pc.or_(pc.not_equal(items["amount"], nothing), pc.not_equal(listed, nothing)))
    return _build(
        items,
        quantity=pa.repeat(nothing, items.num_rows),
        list_cost=items["listed"],
        billed_cost=items["amount"],
        currency=items["currency"],
        cost_source=pa.repeat(pa.scalar("provider"), items.num_rows),
        price_version=pa.nulls(items.num_rows, pa.string()),
    )


def _build(rows: pa.Table, **columns: Any) -> pa.Table:
    """`list_cost` is no product of a price: there is none to show."""
    import pyarrow as pa

    told = {name: rows[name] for name in (*GROUP[:-1], "token_class", "unit") if name in rows.column_names}
    missing = {name: pa.nulls(rows.num_rows, pa.string()) for name in ("token_class", "unit") if name not in told}
    unpriced = {
        "list_unit_price": pa.nulls(rows.num_rows, pa.decimal128(38, 9)),
        "pricing_unit": pa.nulls(rows.num_rows, pa.string()),
    }
    return pa.table({**told, **missing, **unpriced, **columns})


def _without(texts: pa.ChunkedArray, value: str) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pc.equal(texts, value), pa.scalar(None, pa.string()), texts)
