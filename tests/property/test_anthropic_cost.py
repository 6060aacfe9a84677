"""What is billed for Anthropic sums to what was reported, whatever was used, priced and reported."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence.kit.money import QUANTUM
from convergence.processors.anthropic._matching import attribute

AMOUNT = pa.decimal128(38, 9)
TEXTS = ("workspace_id", "model", "service_tier", "context_window", "token_class", "currency")
ITEM = pa.schema(
    [
        ("usage_date", pa.date32()),
        *((name, pa.string()) for name in (*TEXTS, "description", "cost_type", "inference_geo")),
        ("amount", AMOUNT),
    ]
)
USAGE = pa.schema(
    [
        ("usage_date", pa.date32()),
        *((name, pa.string()) for name in (*TEXTS, "api_key_id", "traffic", "unit", "pricing_unit", "price_version")),
        *((name, AMOUNT) for name in ("quantity", "list_unit_price", "list_cost")),
    ]
)
kinds = st.fixed_dictionaries(
    {
        "usage_date": st.sampled_from([date(2026, 11, 1), date(2026, 11, 2)]),
        "workspace_id": st.sampled_from(["default", "wrkspc_1"]),
        "model": st.sampled_from([None, "claude-sonnet-4", "claude-sonnet-4-20250514", "claude-opus-5"]),
        "service_tier": st.sampled_from([None, "standard", "batch", "priority", "flex"]),
        "context_window": st.sampled_from([None, "0-200k", "200k-1M"]),
        "token_class": st.sampled_from([None, "input", "output", "web_search"]),
    }
)
amounts = st.integers(-(10**13), 10**13).map(lambda nanos: nanos * QUANTUM)
counts = st.integers(1, 10**12).map(Decimal)
list_costs = st.one_of(st.none(), st.integers(0, 10**13).map(lambda nanos: nanos * QUANTUM))
items = st.builds(lambda kind, amount: {**kind, "amount": amount, "currency": "USD"}, kinds, amounts)
used = st.builds(
    lambda kind, key, quantity, cost: {
        **kind,
        "api_key_id": key,
        "unit": "Tokens",
        "quantity": quantity,
        "list_cost": cost,
        "currency": None if cost is None else "USD",
    },
    kinds,
    st.sampled_from([None, "apikey_1", "apikey_2"]),
    counts,
    list_costs,
)


def by_day(rows: list[dict[str, Any]], column: str) -> dict[date, Decimal]:
    sums: defaultdict[date, Decimal] = defaultdict(Decimal)
    for row in rows:
        sums[row["usage_date"]] += row[column]
    return {day: amount for day, amount in sums.items() if amount}


@given(st.lists(items, max_size=12), st.lists(used, max_size=12))
@settings(deadline=None)
def test_every_day_is_billed_what_was_reported_and_counts_what_was_used(
    reported: list[dict[str, Any]], usage: list[dict[str, Any]]
) -> None:
    rows = attribute(pa.Table.from_pylist(reported, ITEM), pa.Table.from_pylist(usage, USAGE)).to_pylist()
    assert by_day(rows, "billed_cost") == by_day(reported, "amount")
    assert by_day(rows, "quantity") == by_day(usage, "quantity")
    assert all(row["billed_cost"] == 0 for row in rows if row["cost_source"] == "estimated")
