"""Reported amounts handed to usage, on tables small enough to check by hand."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa

from convergence.processors.openai._attribution import attribute

DAY = date(2026, 11, 1)
AMOUNT = pa.decimal128(38, 9)
ITEM = pa.schema(
    [
        ("usage_date", pa.date32()), ("project_id", pa.string()), ("api_key_id", pa.string()),
        ("line_item", pa.string()), ("currency", pa.string()), ("is_by_key", pa.bool_()), ("amount", AMOUNT),
    ]
)  # fmt: skip
USAGE = pa.schema(
    [
        ("usage_date", pa.date32()), ("project_id", pa.string()), ("api_key_id", pa.string()),
        ("user_id", pa.string()), ("model", pa.string()), ("endpoint", pa.string()), ("batch", pa.bool_()),
        ("service_tier", pa.string()), ("size", pa.string()), ("token_class", pa.string()), ("unit", pa.string()),
        ("quantity", AMOUNT), ("list_unit_price", AMOUNT), ("pricing_unit", pa.string()), ("currency", pa.string()),
        ("price_version", pa.string()), ("list_cost", AMOUNT),
    ]
)  # fmt: skip


def item(amount: str, line_item: str | None = "gpt-5, output", **fields: Any) -> dict[str, Any]:
    return {
        "usage_date": DAY, "project_id": "p", "api_key_id": "k", "line_item": line_item, "currency": "USD",
        "is_by_key": True, "amount": Decimal(amount), **fields,
    }  # fmt: skip


def used(user: str, quantity: int, cost: str | None, **fields: Any) -> dict[str, Any]:
    return {
        "usage_date": DAY, "project_id": "p", "api_key_id": "k", "user_id": user, "model": "gpt-5",
        "endpoint": "completions", "batch": False, "service_tier": "default", "token_class": "output",
        "unit": "Tokens", "quantity": Decimal(quantity), "list_cost": None if cost is None else Decimal(cost),
        "currency": None if cost is None else "USD", **fields,
    }  # fmt: skip


def run(items: list[dict[str, Any]], usage: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    rows = attribute(pa.Table.from_pylist(items, ITEM), pa.Table.from_pylist(usage, USAGE)).to_pylist()
    return [(row["user_id"], row["billed_cost"], row["quantity"], row["cost_source"]) for row in rows]


def test_an_amount_is_split_by_list_cost_to_the_last_nano_dollar() -> None:
    rows = run([item("0.000000001")], [used("a", 1, "1"), used("b", 1, "2")])
    assert rows == [("a", Decimal(0), 1, "allocated"), ("b", Decimal("0.000000001"), 1, "allocated")]


def test_a_credit_is_split_as_a_charge_is() -> None:
    rows = run([item("-3")], [used("a", 1, "1"), used("b", 1, "2")])
    assert [row[1] for row in rows] == [Decimal(-1), Decimal(-2)]


def test_without_a_list_price_quantity_decides() -> None:
    rows = run([item("4")], [used("a", 1, None), used("b", 3, None)])
    assert [row[1] for row in rows] == [Decimal(1), Decimal(3)]


def test_another_key_s_usage_pays_nothing() -> None:
    rows = run([item("4")], [used("a", 1, "1", api_key_id="other")])
    assert rows == [("a", Decimal(0), 1, "estimated"), (None, Decimal(4), 0, "provider")]


def test_a_null_key_is_a_key() -> None:
    """Traffic without a key and cost without a key belong together."""
    rows = run([item("4", api_key_id=None)], [used("a", 1, "1", api_key_id=None)])
    assert rows == [("a", Decimal(4), 1, "allocated")]


def test_cost_that_is_not_by_key_goes_to_all_keys_of_the_project() -> None:
    usage = [used("a", 1, "1"), used("b", 1, "3", api_key_id="other")]
    rows = run([item("4", api_key_id=None, is_by_key=False)], usage)
    assert [row[1] for row in rows] == [Decimal(1), Decimal(3)]


def test_two_lines_on_the_same_usage_do_not_double_its_quantity() -> None:
    rows = run([item("1"), item("2", "gpt-5, output_tokens")], [used("a", 7, "1")])
    assert sorted(rows, key=lambda row: row[1]) == [
        ("a", Decimal(1), 7, "allocated"),
        ("a", Decimal(2), 0, "allocated"),
    ]


def test_two_currencies_are_never_one_amount() -> None:
    items = pa.Table.from_pylist([item("1", currency="EUR"), item("2")], ITEM)
    rows = attribute(items, pa.Table.from_pylist([used("a", 7, "1")], USAGE)).to_pylist()
    assert {row["currency"]: (row["billed_cost"], row["quantity"], row["list_cost"]) for row in rows} == {
        "EUR": (Decimal(1), Decimal(0), Decimal(0)),
        "USD": (Decimal(2), Decimal(7), Decimal(1)),
    }


def test_usage_goes_with_the_line_that_fits_it_best() -> None:
    usage = [used("a", 1, "1"), used("b", 1, "1", batch=True)]
    rows = run([item("5"), item("1", "gpt-5, batch output")], usage)
    assert sorted(rows) == [("a", Decimal(5), 1, "allocated"), ("b", Decimal(1), 1, "allocated")]


def test_no_rows_at_all() -> None:
    assert run([], []) == []
