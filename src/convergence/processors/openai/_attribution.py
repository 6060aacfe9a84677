"""Which line items bill which usage: those of its day, project and key that fit its meter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convergence.costs.attribution import attribute_pairs, no_pairs, number_rows
from convergence.costs.kinds import NO_VALUE, fill_null, flatten, join_texts
from convergence.processors.openai._line_items import Meter, match_line_items, parse_line_item

if TYPE_CHECKING:
    import pyarrow as pa

_BETWEEN = "\x1f"


def attribute(items: pa.Table, usage: pa.Table) -> pa.Table:
    """Rows of the cost table, without lineage.

    `items`: usage_date, project_id, api_key_id, line_item, currency, amount, is_by_key.
    `usage`: usage_date, project_id, api_key_id, user_id, model, endpoint, batch, service_tier, size, token_class,
    quantity, unit, list_unit_price, pricing_unit, list_cost, currency, price_version.
    """
    import pyarrow as pa

    models = [parse_line_item(text).model for text in items["line_item"].to_pylist()]
    items, usage = number_rows(items.append_column("model", pa.array(models, pa.string())), usage)
    rows = attribute_pairs(items, usage, _find_pairs(items, usage), ["line_item"])
    return rows.drop_columns(["is_by_key"])


def _find_pairs(items: pa.Table, usage: pa.Table) -> pa.Table:
    """item, row, rank: every usage row that a line item may bill."""
    import pyarrow as pa
    import pyarrow.compute as pc

    meters, numbers = _number_meters(usage)
    matches = _build_matches(items, meters)
    usage = usage.append_column("meter", numbers)
    found = [no_pairs()]
    for is_by_key in (True, False):
        asked = items.filter(pc.equal(items["is_by_key"], pa.scalar(is_by_key)))
        left = _scoped(asked, ["item", "line_item"], by_key=is_by_key).join(matches, "line_item", join_type="inner")
        right = _scoped(usage, ["row", "meter"], by_key=is_by_key)
        pairs = left.join(right, ["usage_date", "scope", "meter"], join_type="inner")
        found.append(pairs.select(["item", "row", "rank"]))
    return pa.concat_tables(found)


def _number_meters(usage: pa.Table) -> tuple[list[Meter], pa.Array]:
    """The distinct meters, and each row's number among them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    tier = pc.if_else(pc.fill_null(usage["batch"], fill_value=False), "batch", fill_null(usage["service_tier"]))
    variant = pc.coalesce(usage["size"], tier)
    text = pc.binary_join_element_wise(fill_null(usage["model"]), variant, usage["token_class"], _BETWEEN)
    encoded = flatten(text).dictionary_encode()
    return [_read_meter(meter) for meter in encoded.dictionary.to_pylist()], encoded.indices.cast(pa.int64())


def _read_meter(text: str) -> Meter:
    model, tier, token_class = text.split(_BETWEEN)
    return Meter(None if model == NO_VALUE else model, "default" if tier in (NO_VALUE, "auto") else tier, token_class)


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
    scope = join_texts(rows, ["project_id", "api_key_id"] if by_key else ["project_id"])
    return rows.select(["usage_date", *columns]).append_column("scope", scope)
