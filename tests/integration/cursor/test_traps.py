"""What goes wrong with Cursor's API, and with everybody who reads it: each has a test of its own name."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from step_bench import CONFIGS, NOW, TODAY, Bench, last_days

from convergence.catalog import Catalog
from convergence.connectors import MinuteLimit
from convergence.costs.report import read_costs
from convergence.costs.subscriptions import create_plan
from convergence.errors import (
    ConvergenceError,
    DataQualityError,
    ProviderMisbehaved,
    ProviderRejected,
    ProviderUnavailable,
)
from convergence.integrations.validators.cursor import build_auth
from convergence.kit.window import Window
from convergence.simulator import CursorWorld, FaultRule, rate_limited
from convergence.steps import LoadLimits

from .conftest import EXACTLY, KEY, MONEY

WINDOW = last_days(3)
DAY = last_days(1)
EVENTS = "cursor.usage_events"


async def count(bench: Bench, where: str = "TRUE") -> int:
    found: int = await bench.value(f"SELECT COUNT(*) FROM cursor_usage_events_raw WHERE {where}")
    return found


async def billed(bench: Bench) -> Decimal:
    found: Decimal = await bench.value("SELECT SUM(billed_cost) FROM cursor_cost_daily")
    return found


async def load_money(bench: Bench, window: Window = WINDOW) -> None:
    for step in MONEY:
        await bench.run(step, window, config=EXACTLY)


def asked(bench: Bench, path: str) -> list[int | None]:
    return [entry.status for entry in bench.simulator.journal.entries() if entry.path == f"/cursor/teams/{path}"]


# Access and pace


async def test_a_wrong_key_is_refused_by_name_and_never_shown(bench: Bench) -> None:
    with pytest.raises(ProviderRejected) as caught:
        await bench.run(EVENTS, DAY, key="crsr_wrong0123456789")
    assert caught.value.code == "credential_invalid"
    assert "crsr_wrong" not in f"{caught.value!r} {caught.value.fields}"


async def test_no_minute_holds_more_requests_than_the_team_is_allowed(bench: Bench) -> None:
    """The simulator answers 429 to the twenty-first request of a minute, and to the sixty-first for events."""
    teams, events = MinuteLimit("teams", 20), MinuteLimit("filtered-usage-events", 60)
    for limit, path in [(teams, "/teams/spend")] * 50 + [(events, "/teams/filtered-usage-events")] * 130:
        client = bench.http.client("acme", "cursor", build_auth(KEY), minute_limit=limit)
        await client.post(path, {"page": 1, "pageSize": 1})
    assert asked(bench, "spend") == [200] * 50
    assert asked(bench, "filtered-usage-events") == [200] * 130
    assert bench.clock.now() == NOW + timedelta(minutes=4)


async def test_a_429_that_names_no_time_waits_for_the_next_minute(bench: Bench) -> None:
    bench.simulator.faults.add(rate_limited(count=1))
    await bench.run(EVENTS, DAY, config=EXACTLY)
    assert asked(bench, "filtered-usage-events") == [429, 200]
    assert bench.clock.now() == NOW + timedelta(seconds=61)


async def test_a_team_that_is_refused_for_minutes_is_left_to_the_queue(bench: Bench) -> None:
    bench.simulator.faults.add(rate_limited())
    with pytest.raises(ProviderUnavailable) as caught:
        await bench.run(EVENTS, DAY, config=EXACTLY)
    assert caught.value.code == "provider_rate_limited"
    assert asked(bench, "filtered-usage-events") == [429] * 4


async def test_an_endpoint_that_is_not_there_is_a_failure_and_not_a_day_without_usage(bench: Bench) -> None:
    bench.simulator.faults.add(FaultRule(kind="status", status=404))
    with pytest.raises(ProviderRejected) as caught:
        await bench.run(EVENTS, DAY, config=EXACTLY)
    assert caught.value.status == 404


# Windows and pages


async def test_a_window_has_thirty_days_at_most(bench: Bench) -> None:
    """The simulator refuses more. Forty-five days are read in three requests: a day, thirty days, the rest."""
    await bench.run(EVENTS, last_days(45), config=EXACTLY)
    await bench.run("cursor.daily_usage", last_days(45), config=EXACTLY)
    assert asked(bench, "filtered-usage-events") == [200] * 3
    assert asked(bench, "daily-usage-data") == [200] * 3


async def test_both_ends_are_inside_so_that_a_day_ends_with_its_last_millisecond(bench: Bench) -> None:
    """An event of midnight belongs to the day that begins, and to no other."""
    midnight = int(datetime(2026, 11, 19, tzinfo=UTC).timestamp()) * 1_000
    events = list(bench.world.events_between(midnight - 86_400_000, midnight, NOW))
    assert all(event.moment < midnight for event in events[1:])
    await bench.run(EVENTS, last_days(2), config=EXACTLY)
    (row,) = await bench.rows(
        "SELECT MIN(event_timestamp) AS first, MAX(event_timestamp) AS last FROM cursor_usage_events_raw"
    )
    assert (row["first"].date(), row["last"].date()) == (date(2026, 11, 18), date(2026, 11, 19))


async def test_today_is_not_read_because_its_pages_would_shift(bench: Bench) -> None:
    bench.world = CursorWorld(seed=11, end_day=TODAY + timedelta(days=1), days=8, rows_per_day=40)
    bench.simulator.add_account(KEY, bench.world, provider="cursor")
    result = await bench.run(EVENTS, Window(DAY.start, TODAY + timedelta(days=1)), config=EXACTLY)
    alone = await bench.run(EVENTS, Window.day(TODAY), config=EXACTLY)
    assert result.metadata["days_replaced"] == 1
    assert await count(bench, f"usage_date = DATE '{TODAY}'") == 0
    assert (alone.rows_processed, alone.warnings) == (
        0,
        ("no day of the run is over yet: Cursor is read when days are over",),
    )


async def test_pages_are_followed_until_there_is_no_next_one(bench: Bench) -> None:
    bench.world = CursorWorld(seed=11, end_day=TODAY, days=30, rows_per_day=110)
    bench.simulator.add_account(KEY, bench.world, provider="cursor")
    await bench.run(EVENTS, last_days(30), config=EXACTLY)
    assert await count(bench) == sum(bench.truth()["rows"]["usage_events"].values()) > 2_000
    assert len(asked(bench, "filtered-usage-events")) > 3


@pytest.mark.parametrize("kind", ["shrink", "duplicate", "empty_page"])
async def test_a_count_that_does_not_agree_fails_the_window_and_what_is_committed_stays(
    bench: Bench, kind: str
) -> None:
    """Events that came late move the pages: some are read twice and others never. That is tried again, and counted."""
    await bench.run(EVENTS, WINDOW, config=EXACTLY)
    before = await count(bench)
    bench.simulator.faults.add(FaultRule(kind=kind, share=0.1, count=1))
    with pytest.raises(ProviderUnavailable) as caught:
        await bench.run(EVENTS, WINDOW, config=EXACTLY)
    assert (caught.value.code, await count(bench)) == ("count_disagrees", before)
    await bench.run(EVENTS, WINDOW, config=EXACTLY)
    assert await count(bench) == before


@pytest.mark.parametrize("kind", ["cut_json", "html"])
async def test_a_provider_that_lies_leaves_what_is_committed(bench: Bench, kind: str) -> None:
    await bench.run(EVENTS, DAY, config=EXACTLY)
    before = await count(bench)
    bench.simulator.faults.add(FaultRule(kind=kind))
    with pytest.raises(ConvergenceError):
        await bench.run(EVENTS, DAY, config=EXACTLY)
    assert await count(bench) == before


async def test_a_list_that_never_ends_is_recognized(bench: Bench) -> None:
    bench.simulator.faults.add(FaultRule(kind="endless_cursor"))
    with pytest.raises(ProviderMisbehaved) as caught:
        await bench.run(EVENTS, DAY, config=EXACTLY)
    assert caught.value.code == "pagination_loop"
    assert len(asked(bench, "filtered-usage-events")) == 2


@pytest.mark.parametrize(
    "fault",
    [
        FaultRule(kind="status", status=503, count=2),
        FaultRule(kind="reset", count=1),
        rate_limited(retry_after=0.1, count=2),
    ],
    ids=["503", "reset", "429"],
)
async def test_a_busy_provider_is_asked_again(bench: Bench, fault: FaultRule) -> None:
    bench.simulator.faults.add(fault)
    await bench.run(EVENTS, WINDOW, config=EXACTLY)
    assert await count(bench) == sum(bench.truth()["rows"]["usage_events"].values())


# Events


async def test_the_key_of_an_event_is_the_same_whenever_it_is_read(bench: Bench) -> None:
    await bench.run(EVENTS, WINDOW, config=EXACTLY)
    before = await bench.rows("SELECT event_key FROM cursor_usage_events_raw ORDER BY event_key")
    bench.simulator.faults.add(FaultRule(kind="reorder"))
    await bench.run(EVENTS, WINDOW, config=EXACTLY)
    assert await bench.rows("SELECT event_key FROM cursor_usage_events_raw ORDER BY event_key") == before


async def test_late_events_come_with_the_days_that_are_read_again(bench: Bench) -> None:
    bench.world = CursorWorld(seed=11, end_day=TODAY, days=7, rows_per_day=40, late_hours=30)
    bench.simulator.add_account(KEY, bench.world, provider="cursor")
    await bench.run(EVENTS, DAY, trigger_type="scheduler")
    early = await count(bench)
    bench.clock.advance(timedelta(days=1))
    await bench.run(EVENTS, Window.day(TODAY), trigger_type="scheduler")
    truth = bench.truth()["rows"]["usage_events"]
    days = [day for day in truth if day >= "2026-11-16"]
    assert await count(bench) == sum(truth[day] for day in days) > early


async def test_the_latest_two_days_are_provisional_and_three_are_read_again(bench: Bench) -> None:
    result = await bench.run(EVENTS, DAY, trigger_type="scheduler")
    rows = await bench.rows("SELECT DISTINCT usage_date FROM cursor_usage_events_raw WHERE is_provisional ORDER BY 1")
    assert result.metadata["days_replaced"] == 4
    assert [row["usage_date"] for row in rows] == [date(2026, 11, 18), date(2026, 11, 19)]


async def test_a_billing_cycle_that_closes_is_read_again_whole(bench: Bench) -> None:
    bench.clock.advance(datetime(2026, 11, 14, 12, tzinfo=UTC) - NOW)
    await bench.run("cursor.spend", DAY)
    result = await bench.run(EVENTS, Window.day(date(2026, 11, 13)), trigger_type="scheduler")
    assert result.metadata["days_replaced"] == 36


async def test_a_restated_day_replaces_the_old_one_and_never_adds_to_it(bench: Bench) -> None:
    await load_money(bench)
    before = await count(bench)
    bench.world.revise("restate", [DAY.start], share=0.5)
    await load_money(bench)
    assert await count(bench) == before
    assert await billed(bench) == bench.truth()["cost"]["total"]


async def test_a_removed_row_is_gone(bench: Bench) -> None:
    await load_money(bench)
    bench.world.revise("remove", [DAY.start], share=0.3)
    await load_money(bench)
    assert await count(bench) == sum(bench.truth()["rows"]["usage_events"].values())
    assert await billed(bench) == bench.truth()["cost"]["total"]


async def test_a_day_that_shrinks_for_good_is_believed_after_a_second_look(bench: Bench) -> None:
    await load_money(bench)
    bench.world.revise("clear", [DAY.start])
    for step in MONEY:
        await bench.run(step, DAY, config=EXACTLY, limits=LoadLimits(shrink_recheck=timedelta(seconds=600)))
    assert await billed(bench) == bench.truth()["cost"]["total"]


@pytest.mark.parametrize("kind", ["changed_type", "nan", "huge_integer", "negative"])
async def test_a_bad_event_is_kept_apart_and_counted(bench: Bench, kind: str) -> None:
    await bench.run(EVENTS, DAY, config=EXACTLY)
    before = await count(bench)
    bench.simulator.faults.add(FaultRule(kind=kind, path="*/filtered-usage-events", count=1))
    result = await bench.run(EVENTS, DAY, config=EXACTLY)
    (reject,) = await bench.rows("SELECT usage_date, raw FROM cursor_usage_events_raw_rejects")
    assert (result.metadata["rows_rejected"], await count(bench)) == (1, before - 1)
    assert reject["usage_date"] == DAY.start


async def test_a_bad_event_belongs_to_its_own_day(bench: Bench) -> None:
    await bench.run(EVENTS, WINDOW, config=EXACTLY)
    bench.simulator.faults.add(
        FaultRule(kind="changed_type", path="*/filtered-usage-events", skip=1, count=1, share=0.02)
    )
    await bench.run(EVENTS, WINDOW, config=EXACTLY)
    rows = await bench.rows("SELECT usage_date, CAST(raw AS STRING) AS raw FROM cursor_usage_events_raw_rejects")
    told = [int(row["raw"].split('"timestamp":"')[1][:13]) for row in rows]
    assert len(rows) > 1
    assert [row["usage_date"] for row in rows] == [datetime.fromtimestamp(ms / 1_000, UTC).date() for ms in told]


async def test_too_many_bad_events_leave_the_old_day(bench: Bench) -> None:
    await bench.run(EVENTS, DAY, config=EXACTLY)
    before = await count(bench)
    bench.simulator.faults.add(FaultRule(kind="changed_type", path="*/filtered-usage-events", share=0.5))
    with pytest.raises(DataQualityError) as caught:
        await bench.run(EVENTS, DAY, config=EXACTLY)
    assert (caught.value.code, await count(bench)) == ("too_many_bad_rows", before)


async def test_a_new_field_is_named_and_costs_nothing_else(bench: Bench) -> None:
    bench.simulator.faults.add(FaultRule(kind="new_field", path="*/filtered-usage-events"))
    result = await bench.run(EVENTS, DAY, config=EXACTLY)
    assert any("surprise" in warning for warning in result.warnings)
    assert result.rows_processed > 0


async def test_a_renamed_model_does_not_count_twice(bench: Bench) -> None:
    """Elsewhere the model's name was in the key, and a raw name beside a cleaned one doubled the money."""
    await load_money(bench)
    before = await billed(bench)
    bench.simulator.faults.add(FaultRule(kind="unknown_model", path="*/filtered-usage-events", share=0.5))
    await load_money(bench)
    assert await count(bench, "model = 'gpt-unheard-of'") > 10
    assert await billed(bench) == before


# Money


async def test_snapshots_of_spend_are_kept_by_day_and_enter_no_cost(bench: Bench) -> None:
    """They are cumulative: to add them up is to pay a month many times. A second one of a day replaces the first."""
    for _ in range(3):
        await bench.run("cursor.spend", DAY)
        await bench.run("cursor.spend", DAY)
        bench.clock.advance(timedelta(days=1))
    await load_money(bench)
    rows = await bench.rows(
        "SELECT snapshot_date, SUM(spend_amount) AS spent FROM cursor_spend_snapshot_raw GROUP BY 1 ORDER BY 1"
    )
    cycle = sum(bench.truth()["cycle"]["cost"].values()) - bench.truth()["cycle"]["cost"]["agent-runner@example.com"]
    costs = await read_costs(bench.warehouse, bench.org, WINDOW, granularity="total")
    assert [row["snapshot_date"] for row in rows] == [TODAY + timedelta(days=number) for number in range(3)]
    assert {row["spent"] for row in rows} == {cycle}
    assert costs.total["billed_cost"] == bench.truth()["cost"]["total"]


async def test_spend_is_read_to_the_last_of_all_pages(bench: Bench) -> None:
    bench.world = CursorWorld(seed=11, end_day=TODAY, days=3, rows_per_day=5, people=230)
    bench.simulator.add_account(KEY, bench.world, provider="cursor")
    await bench.run("cursor.spend", DAY)
    assert len(asked(bench, "spend")) == 3
    assert await bench.value("SELECT COUNT(*) FROM cursor_spend_snapshot_raw") == len(bench.world.team.members) > 200


async def test_seat_fees_are_in_no_answer_and_come_from_the_plans_month_by_month(bench: Bench) -> None:
    place = (bench.warehouse, Catalog(CONFIGS), bench.org, "cursor")
    await bench.run("cursor.subscriptions", WINDOW)
    seat: dict[str, Any] = {"plan_name": "Teams", "seats": 11, "unit_price": "40", "valid_from": "2026-10-05"}
    await create_plan(*place, seat)
    for _ in range(2):
        await bench.run("cursor.subscriptions", Window(date(2026, 9, 15), TODAY))
    rows = await bench.rows("SELECT month, amount, currency FROM cursor_subscriptions_monthly ORDER BY month")
    assert rows == [
        {"month": date(2026, 10, 1), "amount": Decimal(440), "currency": "USD"},
        {"month": date(2026, 11, 1), "amount": Decimal(440), "currency": "USD"},
    ]


# Activity and people


async def test_requests_through_one_s_own_key_are_counted_and_cost_nothing_here() -> None:
    schema = Catalog(CONFIGS).schema("cursor_usage_daily_raw")
    assert "api_key_reqs" in {column.name for column in schema.columns}
    assert not {column.name for column in schema.columns if column.type == "NUMERIC"}


async def test_members_fill_the_people_and_who_was_removed_stays(bench: Bench) -> None:
    await bench.run("cursor.members", DAY)
    bench.world.lists_removed = False
    bench.clock.advance(timedelta(hours=1))
    result = await bench.run("cursor.members", DAY)
    (gone,) = await bench.rows("SELECT email, is_removed FROM cursor_members_raw WHERE is_deleted")
    people = await bench.rows("SELECT user_id, person FROM dim_people WHERE provider = 'cursor' AND valid_to IS NULL")
    assert (result.metadata["vanished"], gone["is_removed"]) == ({"cursor_members_raw": 1}, True)
    assert {"user_id": gone["email"], "person": gone["email"]} in people
    assert len(people) == len(bench.world.team.members)


@pytest.mark.parametrize("kind", ["empty_page", "html", "cut_json"])
async def test_an_answer_without_members_deletes_nobody(bench: Bench, kind: str) -> None:
    await bench.run("cursor.members", DAY)
    bench.simulator.faults.add(FaultRule(kind=kind))
    with pytest.raises(ConvergenceError):
        await bench.run("cursor.members", DAY)
    assert await bench.value("SELECT COUNT(*) FROM cursor_members_raw WHERE is_deleted") == 0
