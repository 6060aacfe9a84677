"""Which rows of Anthropic's cost report bill which usage: those of the same day and workspace that fit its meter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from convergence.costs.attribution import attribute_pairs, no_pairs, number_rows
from convergence.costs.kinds import number_kinds
from convergence.costs.prices.book import family

if TYPE_CHECKING:
    import pyarrow as pa

_METER = ("model", "service_tier", "context_window", "token_class")
_ITEM_COLUMNS = ("description", "cost_type", "inference_geo")
_PRIORITY = "priority"
_SAME_AT_EVERY_TIER = frozenset({"web_search"})


class Meter(NamedTuple):
    """What bills tell apart. None: the cost report does not say, or the usage report was not asked."""

    model: str | None
    service_tier: str | None
    context_window: str | None
    token_class: str | None


def attribute(items: pa.Table, usage: pa.Table) -> pa.Table:
    """Rows of the cost table, without lineage.

    `items`: usage_date, workspace_id, description, cost_type, model, service_tier, context_window, inference_geo,
    token_class, currency, amount. `usage`: usage_date, workspace_id, api_key_id, traffic, model, service_tier,
    context_window, token_class, unit, quantity, list_unit_price, pricing_unit, list_cost, currency, price_version.
    """
    items, usage = number_rows(items, usage)
    return attribute_pairs(items, usage, _find_pairs(items, usage), _ITEM_COLUMNS)


def _find_pairs(items: pa.Table, usage: pa.Table) -> pa.Table:
    """item, row, rank: every usage row that a reported row may bill."""
    import pyarrow as pa

    lines, line_places = number_kinds(items, _METER)
    meters, meter_places = number_kinds(usage, _METER)
    matches = list(_match(_meters(lines), _meters(meters)))
    if not matches:
        return no_pairs()
    fits = pa.Table.from_pylist(matches)
    left = items.select(["usage_date", "workspace_id", "item"]).append_column("line", line_places.cast(pa.int64()))
    right = usage.select(["usage_date", "workspace_id", "row"]).append_column("meter", meter_places.cast(pa.int64()))
    pairs = left.join(fits, "line", join_type="inner")
    pairs = pairs.join(right, ["usage_date", "workspace_id", "meter"], join_type="inner")
    return pairs.select(["item", "row", "rank"])


def _meters(kinds: Sequence[dict[str, Any]]) -> list[Meter]:
    return [Meter(**kind) for kind in kinds]


def _match(lines: Sequence[Meter], meters: Sequence[Meter]) -> Iterator[dict[str, int]]:
    for line, billed in enumerate(lines):
        for meter, used in enumerate(meters):
            rank = rank_fit(billed, used)
            if rank is not None:
                yield {"line": line, "meter": meter, "rank": rank}


def rank_fit(billed: Meter, used: Meter) -> int | None:
    """How well a reported row fits usage, 0 the best; None where it cannot bill it.

    The model counts most, then the tier, then the context window.
    """
    if billed.token_class is None or billed.token_class != used.token_class:
        return None
    ranks = (_rank_model(billed, used), _rank_tier(billed, used), _rank_context(billed, used))
    if None in ranks:
        return None
    model, tier, context = (rank or 0 for rank in ranks)
    return model * 100 + tier * 10 + context


def _rank_model(billed: Meter, used: Meter) -> int | None:
    """A row without a model bills any; one without a release date bills all releases; else the very one."""
    if billed.model == used.model:
        return 0
    if billed.model is None:
        return 2
    return 1 if used.model is not None and family(used.model) == billed.model else None


def _rank_tier(billed: Meter, used: Meter) -> int | None:
    """Priority Tier is in no cost report; tiers that it does not name are billed as standard."""
    if billed.service_tier == used.service_tier:
        return 0
    if billed.service_tier is None:
        return 1 if used.service_tier != _PRIORITY or billed.token_class in _SAME_AT_EVERY_TIER else None
    return 1 if billed.service_tier == "standard" and used.service_tier not in (_PRIORITY, "batch") else None


def _rank_context(billed: Meter, used: Meter) -> int | None:
    if billed.context_window == used.context_window:
        return 0
    return 1 if billed.context_window is None or used.context_window is None else None
