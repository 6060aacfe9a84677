"""Amounts split over tokens, on tables small enough to check by hand."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from convergence.costs.prices.book import Price, PriceBook
from convergence.processors.cursor._splitting import GROUP, quote, split

DAY = date(2026, 11, 1)
AMOUNT = pa.decimal128(38, 9)
_TYPES = {"usage_date": pa.date32(), "is_chargeable": pa.bool_(), "max_mode": pa.bool_()}
_GROUP = [(name, _TYPES.get(name, pa.string())) for name in GROUP]
ITEM = pa.schema(
    [*_GROUP, ("currency", pa.string()), ("amount", AMOUNT), ("listed", AMOUNT), ("is_stated", pa.bool_())]
)
USAGE = pa.schema(
    [
        *_GROUP,
        *((name, pa.string()) for name in ("token_class", "unit", "price_version")),
        *((name, AMOUNT) for name in ("quantity", "list_cost")),
    ]
)
COMMON = {
    "usage_date": DAY,
    "user_email": "dev@company.example",
    "model": "claude-4.5-sonnet",
    "kind": "Usage-based",
    "is_chargeable": True,
    "max_mode": False,
    "counted_in": "tokens",
}


def item(amount: str, listed: str | None, **fields: Any) -> dict[str, Any]:
    value = None if listed is None else Decimal(listed)
    return {**COMMON, "currency": "USD", "amount": Decimal(amount), "listed": value, "is_stated": True, **fields}


def used(token_class: str, quantity: int, weight: str, **fields: Any) -> dict[str, Any]:
    counted = {
        "token_class": token_class,
        "unit": "Tokens",
        "quantity": Decimal(quantity),
        "list_cost": Decimal(weight),
    }
    return {**COMMON, **counted, "price_version": "abc", **fields}


def run(items: list[dict[str, Any]], usage: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = split(
        pa.Table.from_pylist(items, ITEM), pa.Table.from_pylist(usage, USAGE)
    ).to_pylist()
    return found


def test_a_charge_and_its_value_are_split_by_what_tokens_weigh_to_the_last_nano_dollar() -> None:
    rows = run([item("0.1", "1")], [used("input", 5, "1"), used("output", 7, "2")])
    assert [row["billed_cost"] for row in rows] == [Decimal("0.033333333"), Decimal("0.066666667")]
    assert [row["list_cost"] for row in rows] == [Decimal("0.333333333"), Decimal("0.666666667")]
    assert {row["cost_source"] for row in rows} == {"allocated"}
    assert {row["list_unit_price"] for row in rows} == {None}


def test_what_is_included_has_its_value_and_no_charge() -> None:
    included = {"is_chargeable": False, "kind": "Included in Business"}
    (row,) = run([item("0", "0.08", **included)], [used("output", 7, "2", **included)])
    assert (row["billed_cost"], row["list_cost"], row["cost_source"]) == (0, Decimal("0.08"), "provider")


@pytest.mark.parametrize(
    "other", [{"user_email": "b@company.example"}, {"kind": "Included"}, {"max_mode": True}, {"model": None}]
)
def test_each_group_keeps_its_own(other: dict[str, Any]) -> None:
    rows = run([item("1", "1"), item("3", "3", **other)], [used("input", 1, "1"), used("input", 1, "9", **other)])
    assert [row["billed_cost"] for row in rows] == [1, 3]


def test_requests_are_charged_as_they_are() -> None:
    counted = {"counted_in": "requests"}
    (row,) = run(
        [item("0.2", "0.2", **counted)], [used("request", 5, "0", unit="Requests", price_version="", **counted)]
    )
    assert (row["billed_cost"], row["quantity"], row["cost_source"], row["price_version"]) == (
        *(Decimal("0.2"), 5, "provider"),
        None,
    )


def test_a_request_based_plan_that_states_no_charge_is_an_estimate_without_a_figure() -> None:
    counted = {"counted_in": "requests"}
    (row,) = run([item("0", None, is_stated=False, **counted)], [used("request", 5, "0", unit="Requests", **counted)])
    assert (row["billed_cost"], row["list_cost"], row["cost_source"]) == (0, None, "estimated")


def test_money_without_anything_counted_is_a_row_of_its_own_and_nothing_is_none() -> None:
    rows = run([item("0.5", "0.5"), item("0", None, kind="Errored, Not Charged")], [])
    assert [(row["billed_cost"], row["quantity"], row["unit"], row["cost_source"]) for row in rows] == [
        (Decimal("0.5"), 0, None, "provider")
    ]


def test_a_charge_taken_back_is_split_like_any_other() -> None:
    rows = run([item("-1", "0")], [used("input", 1, "1"), used("output", 1, "3")])
    assert [row["billed_cost"] for row in rows] == [Decimal("-0.25"), Decimal("-0.75")]


BOOK = PriceBook([Price("gpt-5", rates={"input_per_million": Decimal("1.25"), "output_per_million": Decimal(10)})])


@pytest.mark.parametrize(
    ("model", "token_class", "price"),
    [
        ("gpt-5", "output", "10"),
        ("gpt-5", "cached_input", "1.25"),
        ("gpt-5", "request", "1"),
        ("auto", "output", "5"),
        ("auto", "cached_input", "0.1"),
        (None, "input", "1"),
    ],
)
def test_tokens_weigh_what_the_book_says_and_else_the_usual(model: str | None, token_class: str, price: str) -> None:
    found = quote(BOOK, {"model": model, "token_class": token_class, "usage_date": DAY})
    assert found.unit_price == Decimal(price)
    assert bool(found.version) == (model == "gpt-5" and token_class != "request")
