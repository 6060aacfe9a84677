"""Pages as the vendor documents them, and the amounts that they state."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from convergence.connectors.decode import DecodedPage, decode_page
from convergence.processors.anthropic._reports import USAGE, build_cost_report
from convergence.processors.anthropic.claude_code import build_views

DAY = {"starting_at": "2025-08-01T00:00:00Z", "ending_at": "2025-08-02T00:00:00Z"}
COSTS = build_cost_report("cents")


def page(*results: dict[str, Any]) -> bytes:
    return json.dumps({"data": [{**DAY, "results": list(results)}], "has_more": False, "next_page": None}).encode()


def costs(*results: dict[str, Any]) -> DecodedPage:
    return decode_page(page(*results), COSTS.layout)


@pytest.mark.parametrize(
    ("written", "dollars"),
    [
        ("123.78912", "1.2378912"),
        ("50.5", "0.505"),
        ("12345.00", "123.45"),
        ("5000", "50"),
        ("83391.52823", "833.9152823"),
        ("-1050", "-10.5"),
        ("0.00000012345", "0.000000001"),
        ("0.00000005", "0.000000001"),
    ],
)
def test_an_amount_in_cents_is_dollars_rounded_once(written: str, dollars: str) -> None:
    found = costs({"amount": written, "currency": "USD"})
    assert found.rows["amount"].to_pylist() == [Decimal(dollars)]


def test_the_strict_way_of_reading_moves_the_point_too() -> None:
    """One bad row sends the whole page that way."""
    found = costs({"amount": "123.78912", "currency": "USD"}, {"amount": "many", "currency": "USD"})
    assert found.rows["amount"].to_pylist() == [Decimal("1.2378912")]
    assert len(found.rejects) == 1


def test_an_amount_of_thirty_digits_keeps_them_all() -> None:
    found = costs({"amount": "1234567890123456789012345678.25", "currency": "USD"}, {"amount": None, "currency": "USD"})
    assert found.rows["amount"].to_pylist() == [Decimal("12345678901234567890123456.7825")]


def test_a_sparse_cost_row_is_taken_with_what_it_says() -> None:
    found = costs(
        {"amount": "2500.00", "currency": "USD", "description": "Web Search Usage", "cost_type": "web_search"}
    )
    (row,) = found.rows.to_pylist()
    assert (row["amount"], row["cost_type"], row["model"], row["workspace_id"]) == (25, "web_search", None, None)


def test_usage_counts_stand_in_columns_of_their_own() -> None:
    body = page(
        {
            "uncached_input_tokens": 1500,
            "cache_creation": {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500},
            "cache_read_input_tokens": 200,
            "output_tokens": 500,
            "server_tool_use": {"web_search_requests": 10},
            "api_key_id": "apikey_1",
            "account_id": None,
            "workspace_id": None,
            "model": "claude-sonnet-4-20250514",
            "service_tier": "standard",
            "context_window": "0-200k",
        },
        {"uncached_input_tokens": 100, "output_tokens": 50, "model": "claude-opus-4-20250514"},
    )
    found = decode_page(body, USAGE.layout)
    columns = (
        *("uncached_input_tokens", "cache_creation_5m_input_tokens", "cache_creation_1h_input_tokens"),
        *("cache_read_input_tokens", "output_tokens", "web_search_requests"),
    )
    assert [[row[name] for name in columns] for row in found.rows.to_pylist()] == [
        [1500, 500, 1000, 200, 500, 10],
        [100, None, None, None, 50, None],
    ]
    assert not found.unknown_fields


RECORD = {
    "actor": {"email_address": "User@Example.com", "type": "user_actor"},
    "core_metrics": {
        "commits_by_claude_code": 8,
        "lines_of_code": {"added": 342, "removed": 128},
        "num_sessions": 15,
        "pull_requests_by_claude_code": 2,
    },
    "customer_type": "api",
    "date": "2025-08-08T00:00:00Z",
    "is_remote": False,
    "model_breakdown": [
        {
            "estimated_cost": {"amount": 186, "currency": "USD"},
            "model": "claude-opus-5",
            "tokens": {"cache_creation": 2340, "cache_read": 8790, "input": 45230, "output": 12450},
        },
        {
            "estimated_cost": {"amount": 42.5, "currency": "USD"},
            "model": "claude-sonnet-5",
            "tokens": {"cache_creation": 890, "cache_read": 3420, "input": 23100, "output": 5680},
        },
    ],
    "organization_id": "12345678-1234-5678-1234-567812345678",
    "subscription_type": None,
    "terminal_type": "iTerm.app",
    "tool_actions": {"edit_tool": {"accepted": 25, "rejected": 3}},
}


def test_a_claude_code_record_is_its_activity_once_and_its_tokens_by_model() -> None:
    body = json.dumps({"data": [RECORD], "has_more": False, "next_page": None}).encode()
    activity, tokens = (decode_page(body, view.layout) for view in build_views("cents"))
    (row,) = activity.rows.to_pylist()
    assert (row["sessions"], row["lines_added"], row["commits"], row["edit_tool_accepted"]) == (15, 342, 8, 25)
    assert tokens.rows["estimated_cost"].to_pylist() == [Decimal("1.86"), Decimal("0.425")]
    assert tokens.rows["input_tokens"].to_pylist() == [45230, 23100]
    assert not activity.unknown_fields | tokens.unknown_fields


def test_a_record_without_models_still_has_its_activity() -> None:
    body = json.dumps({"data": [{**RECORD, "model_breakdown": []}], "has_more": False, "next_page": None}).encode()
    activity, tokens = (decode_page(body, view.layout) for view in build_views("cents"))
    assert (activity.rows.num_rows, tokens.rows.num_rows) == (1, 0)


def test_two_days_of_sparse_costs_are_the_dollars_that_the_console_shows() -> None:
    amounts = {"2023-11-14T00:00:00Z": ("12345.00", "2500.00"), "2023-11-15T00:00:00Z": ("5000",)}
    days = [
        {"starting_at": start, "results": [{"amount": amount, "currency": "USD"} for amount in written]}
        for start, written in amounts.items()
    ]
    rows = decode_page(json.dumps({"data": days, "has_more": False}).encode(), COSTS.layout).rows.to_pylist()
    first = [row["amount"] for row in rows if row["start_time"].day == 14]
    assert sum(first) == Decimal("148.45")
    assert sum(row["amount"] for row in rows) == Decimal("198.45")
