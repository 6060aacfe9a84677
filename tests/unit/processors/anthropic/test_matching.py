"""Which reported row bills which usage, on tables small enough to check by hand."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from convergence.processors.anthropic._matching import Meter, attribute, rank_fit

DAY = date(2026, 11, 1)
AMOUNT = pa.decimal128(38, 9)
_WORDS = ("workspace_id", "model", "service_tier", "context_window", "token_class", "currency")
ITEM = pa.schema(
    [
        ("usage_date", pa.date32()),
        *((name, pa.string()) for name in (*_WORDS, "description", "cost_type", "inference_geo")),
        ("amount", AMOUNT),
    ]
)
USAGE = pa.schema(
    [
        ("usage_date", pa.date32()),
        *((name, pa.string()) for name in (*_WORDS, "api_key_id", "traffic", "unit", "pricing_unit", "price_version")),
        *((name, AMOUNT) for name in ("quantity", "list_unit_price", "list_cost")),
    ]
)
COMMON = {
    "usage_date": DAY,
    "workspace_id": "default",
    "model": "claude-sonnet-5",
    "service_tier": "standard",
    "context_window": "0-200k",
    "token_class": "output",
    "currency": "USD",
}


def item(amount: str, **fields: Any) -> dict[str, Any]:
    return {**COMMON, "description": "Claude Sonnet 5 Usage - Output Tokens", "amount": Decimal(amount), **fields}


def used(key: str | None, quantity: int, cost: str | None, **fields: Any) -> dict[str, Any]:
    listed = None if cost is None else Decimal(cost)
    return {**COMMON, "api_key_id": key, "quantity": Decimal(quantity), "list_cost": listed, **fields}


def run(items: list[dict[str, Any]], usage: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    rows = attribute(pa.Table.from_pylist(items, ITEM), pa.Table.from_pylist(usage, USAGE)).to_pylist()
    return [(row["api_key_id"], row["billed_cost"], row["quantity"], row["cost_source"]) for row in rows]


def test_a_cost_is_split_over_the_keys_by_list_cost_to_the_last_nano_dollar() -> None:
    rows = run([item("1")], [used("a", 1, "1"), used("b", 2, "2")])
    assert rows == [
        ("a", Decimal("0.333333333"), 1, "allocated"),
        ("b", Decimal("0.666666667"), 2, "allocated"),
    ]


def test_without_a_price_it_is_split_by_tokens() -> None:
    rows = run([item("3")], [used("a", 1, None), used("b", 2, None)])
    assert [row[1] for row in rows] == [Decimal(1), Decimal(2)]


@pytest.mark.parametrize(
    "other",
    [
        {"workspace_id": "wrkspc_1"},
        {"model": "claude-opus-5"},
        {"service_tier": "batch"},
        {"service_tier": "priority"},
        {"context_window": "200k-1M"},
        {"token_class": "input"},
        {"usage_date": date(2026, 11, 2)},
    ],
)
def test_usage_of_another_kind_is_not_billed(other: dict[str, Any]) -> None:
    rows = run([item("1")], [used("a", 1, "1"), used("b", 1, "1", **other)])
    assert rows == [("a", Decimal(1), 1, "allocated"), ("b", Decimal(0), 1, "estimated")]


def test_two_places_bill_the_same_usage_and_its_tokens_count_once() -> None:
    rows = run([item("1", inference_geo="global"), item("2", inference_geo="us")], [used("a", 5, "1")])
    assert rows == [("a", Decimal(1), 5, "allocated"), ("a", Decimal(2), 0, "allocated")]


def test_cost_without_usage_keeps_all_that_the_provider_says() -> None:
    nothing = dict.fromkeys(("model", "service_tier", "context_window", "token_class"))
    rows = run([item("0.5", cost_type="code_execution", **nothing)], [used("a", 1, "1")])
    assert rows == [("a", Decimal(0), 1, "estimated"), (None, Decimal("0.5"), 0, "provider")]


def test_web_searches_name_no_model_and_are_split_over_all() -> None:
    searches = {"token_class": "web_search"}
    nothing = dict.fromkeys(("model", "service_tier", "context_window"))
    usage = [used("a", 1, "0.01", **searches), used("b", 3, "0.03", model="claude-opus-5", **searches)]
    rows = run([item("0.08", cost_type="web_search", **searches, **nothing)], usage)
    assert [row[1] for row in rows] == [Decimal("0.02"), Decimal("0.06")]


def test_nothing_at_all_is_no_rows() -> None:
    assert run([], []) == []


BILLED = Meter("claude-sonnet-4", "standard", "0-200k", "input")


@pytest.mark.parametrize(
    ("billed", "used_meter", "rank"),
    [
        (BILLED, BILLED, 0),
        (BILLED, BILLED._replace(model="claude-sonnet-4-20250514"), 100),
        (BILLED._replace(model="claude-sonnet-4-20250514"), BILLED, None),
        (BILLED._replace(model=None), BILLED, 200),
        (BILLED, BILLED._replace(service_tier="flex"), 10),
        (BILLED, BILLED._replace(service_tier="priority_on_demand"), 10),
        (BILLED, BILLED._replace(service_tier="priority"), None),
        (BILLED._replace(service_tier=None), BILLED._replace(service_tier="priority"), None),
        (BILLED._replace(service_tier=None), BILLED._replace(service_tier="batch"), 10),
        (BILLED._replace(context_window=None), BILLED, 1),
        (BILLED._replace(token_class=None), BILLED._replace(token_class=None), None),
    ],
)
def test_rank_fit(billed: Meter, used_meter: Meter, rank: int | None) -> None:
    assert rank_fit(billed, used_meter) == rank
