"""Answers as Cursor documents them, and the amounts that it states beside them."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.catalog import Catalog
from convergence.connectors.decode import DecodedPage, decode_page
from convergence.errors import ProviderMisbehaved, ProviderUnavailable
from convergence.kit.window import Window
from convergence.processors.cursor import spend, usage_events
from convergence.processors.cursor._events import build_events, build_list
from convergence.processors.cursor._lists import ListPage, build_range, collect_rejects
from convergence.processors.cursor.daily_usage import DAILY_USAGE

EVENTS = build_list("cents")
SPEND = spend.build_list("cents")
DAY = date(2025, 6, 26)
CHARGED: dict[str, Any] = {
    "timestamp": "1750979225854",
    "userEmail": "dev@company.example",
    "conversationId": "c-1",
    "model": "claude-4.5-sonnet",
    "kind": "Usage-based",
    "maxMode": True,
    "requestsCosts": 5,
    "isTokenBasedCall": True,
    "isChargeable": True,
    "isHeadless": False,
    "tokenUsage": {
        "inputTokens": 126,
        "outputTokens": 450,
        "cacheWriteTokens": 6112,
        "cacheReadTokens": 11964,
        "totalCents": 20.18232,
    },
    "chargedCents": 21.36232,
    "cursorTokenFee": 1.18,
}
DISCOUNTED = {
    **CHARGED,
    "timestamp": "1750979173824",
    "requestsCosts": 10,
    "tokenUsage": {"inputTokens": 5805, "outputTokens": 311, "cacheWriteTokens": 11964, "cacheReadTokens": 0}
    | {"totalCents": 40.167, "discountPercentOff": 10},
    "chargedCents": 37.33,
}
INCLUDED = {
    "timestamp": "1750978339901",
    "userEmail": "admin@company.example",
    "model": "claude-4-sonnet-thinking",
    "kind": "Included in Business",
    "maxMode": True,
    "requestsCosts": 1.4,
    "isTokenBasedCall": False,
    "isChargeable": False,
    "isHeadless": False,
    "chargedCents": 8,
}


def decode(*events: dict[str, Any], count: int | None = None) -> DecodedPage:
    pagination = {"numPages": 1, "currentPage": 1, "pageSize": 1000, "hasNextPage": False, "hasPreviousPage": False}
    body = {"totalUsageEventsCount": len(events) if count is None else count, "pagination": pagination}
    return decode_page(json.dumps({**body, "usageEvents": events}).encode(), EVENTS.layout)


def test_documented_events_are_the_dollars_that_they_state() -> None:
    page = decode(CHARGED, DISCOUNTED, INCLUDED)
    assert (page.rejects, page.unknown_fields) == ([], frozenset())
    assert page.rows["charged_amount"].to_pylist() == [Decimal("0.2136232"), Decimal("0.3733"), Decimal("0.08")]
    assert page.rows["total_amount"].to_pylist() == [Decimal("0.2018232"), Decimal("0.40167"), None]
    assert page.rows["cursor_token_fee"].to_pylist() == [Decimal("0.0118"), Decimal("0.0118"), None]
    assert page.rows["requests_costs"].to_pylist() == [5, 10, Decimal("1.4")]


def test_what_is_charged_is_the_discounted_total_and_the_fee() -> None:
    one, two = decode(CHARGED, DISCOUNTED).rows.to_pylist()
    assert one["charged_amount"] == one["total_amount"] + one["cursor_token_fee"]
    off = 1 - two["discount_percent_off"] / 100
    assert round(two["total_amount"] * off + two["cursor_token_fee"], 4) == two["charged_amount"]


def test_the_time_is_text_and_the_day_is_that_of_utc() -> None:
    schema = Catalog(Path(__file__).parents[4] / "configs").schema("cursor_usage_events_raw")
    late = {**CHARGED, "timestamp": "1750982399999"}
    next_day = {**CHARGED, "timestamp": "1750982400000"}
    rows = build_events([decode(CHARGED, late, next_day).rows], schema, date(2025, 6, 27))
    assert rows["usage_date"].to_pylist() == [DAY, DAY, date(2025, 6, 27)]
    assert rows["is_provisional"].to_pylist() == [False, False, True]


def test_input_tokens_exclude_what_the_cache_read_and_wrote() -> None:
    (row,) = decode(CHARGED).rows.to_pylist()
    assert (row["input_tokens"], row["output_tokens"], row["cache_write_tokens"], row["cache_read_tokens"]) == (
        *(126, 450, 6112),
        11964,
    )


def test_a_service_account_is_named() -> None:
    (row,) = decode({**CHARGED, "serviceAccountId": "sa_abc123", "serviceAccountName": "Nightly"}).rows.to_pylist()
    assert (row["service_account_id"], row["service_account_name"]) == ("sa_abc123", "Nightly")


def test_an_event_that_does_not_say_whether_it_is_chargeable_is_refused() -> None:
    """To guess would be wrong by all that the plan includes."""
    page = decode({name: value for name, value in CHARGED.items() if name != "isChargeable"}, INCLUDED)
    assert (page.rows.num_rows, [reject.error_path for reject in page.rejects]) == (1, ["usageEvents[0].isChargeable"])


@pytest.mark.parametrize(
    ("pages", "is_good"),
    [
        ([decode(CHARGED, count=2), decode(INCLUDED, count=2)], True),
        ([decode(count=0)], True),
        ([decode(CHARGED, count=113)], False),
        ([decode(CHARGED, INCLUDED, count=1)], False),
        ([decode(CHARGED, count=2), decode(INCLUDED, count=3)], False),
        ([decode({**CHARGED, "isChargeable": "yes"}, count=1)], True),
    ],
    ids=["two pages", "nothing", "missing", "too many", "one came late", "a bad one counts"],
)
def test_events_are_counted_against_what_is_promised(pages: list[DecodedPage], is_good: bool) -> None:
    found = [ListPage(page, 0) for page in pages]
    if is_good:
        usage_events.check_count(found, Window.day(DAY))
        return
    with pytest.raises(ProviderUnavailable, match="promises") as caught:
        usage_events.check_count(found, Window.day(DAY))
    assert caught.value.code == "count_disagrees"


def test_a_range_ends_with_the_last_millisecond_of_its_last_day() -> None:
    params = dict(build_range(Window(date(2025, 6, 26), date(2025, 6, 28)), 1000))
    start, end = (
        datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(params[name]))
        for name in ("startDate", "endDate")
    )
    assert start == datetime(2025, 6, 26, tzinfo=UTC)
    assert end == datetime(2025, 6, 27, 23, 59, 59, 999_000, tzinfo=UTC)


MEMBER = {
    "userId": "user_1",
    "spendCents": 1875.500123,
    "overallSpendCents": 3200.750456,
    "fastPremiumRequests": 980,
    "name": "Sam",
    "email": "admin@company.example",
    "role": "owner",
    "hardLimitOverrideDollars": 0,
    "monthlyLimitDollars": None,
    "effectivePerUserLimitDollars": 50,
}


def decode_spend(*members: dict[str, Any], **envelope: Any) -> DecodedPage:
    body = {"subscriptionCycleStart": 1708992000000, "totalMembers": 15, "totalPages": 1, **envelope}
    return decode_page(json.dumps({"teamMemberSpend": members, **body}).encode(), SPEND.layout)


def test_documented_spend_is_cents_and_limits_are_dollars() -> None:
    page = decode_spend(MEMBER, {**MEMBER, "userId": 12345, "spendCents": 2450.125487, "monthlyLimitDollars": 200})
    assert (page.rejects, page.unknown_fields) == ([], frozenset())
    assert page.rows["spend_amount"].to_pylist() == [Decimal("18.75500123"), Decimal("24.50125487")]
    assert page.rows["overall_spend_amount"].to_pylist() == [Decimal("32.00750456")] * 2
    assert page.rows["monthly_limit_dollars"].to_pylist() == [None, 200]
    assert page.rows["user_id"].to_pylist() == ["user_1", "12345"]


def test_the_billing_cycle_is_the_one_of_all_pages() -> None:
    pages = [ListPage(decode_spend(MEMBER), 0), ListPage(decode_spend(MEMBER), 0)]
    assert spend.read_cycle(pages) == datetime(2024, 2, 27, tzinfo=UTC)


@pytest.mark.parametrize("starts", [(None,), ("1708992000000",), (1708992000000, 1711584000000)])
def test_a_billing_cycle_that_is_not_clear_writes_nothing(starts: tuple[Any, ...]) -> None:
    pages = [ListPage(decode_spend(MEMBER, subscriptionCycleStart=start), 0) for start in starts]
    with pytest.raises(ProviderMisbehaved) as caught:
        spend.read_cycle(pages)
    assert caught.value.code == "cycle_unknown"


@pytest.mark.parametrize("user_id", [12345, "user_PDSP"])
def test_activity_takes_the_day_and_not_the_moment_beside_it(user_id: Any) -> None:
    row = {"userId": user_id, "day": "2024-03-18", "date": 1710762300000, "isActive": True, "totalLinesAdded": 1543}
    counts = {"apiKeyReqs": 0, "usageBasedReqs": 5, "subscriptionIncludedReqs": 180, "mostUsedModel": "gpt-5"}
    body = {"data": [{**row, **counts, "email": "dev@company.example"}], "pagination": {"hasNextPage": False}}
    page = decode_page(json.dumps(body).encode(), DAILY_USAGE.layout)
    (found,) = page.rows.to_pylist()
    assert page.unknown_fields == frozenset()
    assert (found["usage_date"], found["user_id"], found["total_lines_added"]) == (
        date(2024, 3, 18),
        str(user_id),
        1543,
    )
    assert (found["subscription_included_reqs"], found["usage_based_reqs"], found["most_used_model"]) == (
        180,
        5,
        "gpt-5",
    )


def test_a_bad_row_of_activity_belongs_to_its_own_day_as_far_as_that_can_be_told() -> None:
    rows = [{"day": "2024-03-19", "totalLinesAdded": "many"}, {"day": "soon"}, {"day": "2024-05-01", "isActive": 1}]
    page = decode_page(json.dumps({"data": rows, "pagination": {"hasNextPage": False}}).encode(), DAILY_USAGE.layout)
    window = Window(date(2024, 3, 18), date(2024, 3, 20))
    found = collect_rejects([ListPage(page, 0)], window, lambda row: date.fromisoformat(row["day"]))
    assert [reject.day for reject in found] == [date(2024, 3, 19), date(2024, 3, 18), date(2024, 3, 18)]
