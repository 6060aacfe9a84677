"""What has gone wrong in other tools that read Anthropic's usage and costs."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from step_bench import TODAY, Bench, last_days

from convergence.costs.report import read_costs
from convergence.errors import ConvergenceError, DataQualityError, ProviderRejected
from convergence.kit.window import Window
from convergence.simulator import AnthropicWorld, FaultRule, rate_limited
from convergence.steps import LoadLimits

from .conftest import KEY, MONEY

WINDOW = last_days(7)
DAY = Window.day(TODAY - timedelta(days=1))
EXACTLY = {"restatement_days": 0, "month_end_days": 0}


@pytest.fixture
def world() -> AnthropicWorld:
    return AnthropicWorld(seed=11, end_day=TODAY, days=7, rows_per_day=90, steady=True)


async def load_money(bench: Bench, window: Window = DAY) -> None:
    for step in MONEY:
        await bench.run(step, window, config=EXACTLY)


async def total(bench: Bench, sql: str) -> Decimal:
    found: Decimal = await bench.value(f"SELECT COALESCE(SUM(billed_cost), 0) FROM anthropic_cost_daily WHERE {sql}")
    return found


def asked(bench: Bench, end: str) -> list[str]:
    """The queries of every request to a path."""
    return [entry.query for entry in bench.simulator.journal.entries() if entry.path.endswith(end)]


async def test_trap_1_cents_are_not_stored_as_dollars(bench: Bench) -> None:
    await bench.run("anthropic.reported_cost", WINDOW)
    stored = await bench.value("SELECT SUM(amount) FROM anthropic_reported_cost_daily_raw")
    assert stored == bench.truth()["cost"]["total"]


async def test_trap_1_cents_that_cost_explains_are_close_to_list_cost(bench: Bench) -> None:
    """A factor of a hundred would show here even if provider and truth were wrong together."""
    await load_money(bench, WINDOW)
    (row,) = await bench.rows(
        "SELECT SUM(billed_cost) AS billed, SUM(list_cost) AS listed FROM anthropic_cost_daily"
        " WHERE cost_source = 'allocated' AND list_cost IS NOT NULL"
    )
    assert Decimal("0.95") < row["billed"] / row["listed"] < Decimal("1.15")


async def test_trap_2_costs_are_only_asked_for_grouped_so_that_no_total_stands_beside_its_parts(bench: Bench) -> None:
    await bench.run("anthropic.reported_cost", WINDOW)
    groups = await bench.rows("SELECT DISTINCT group_by FROM anthropic_reported_cost_daily_raw")
    assert groups == [{"group_by": "workspace_id,description"}]
    assert all(
        "group_by%5B%5D=workspace_id&group_by%5B%5D=description" in query for query in asked(bench, "/cost_report")
    )


async def test_trap_3_a_null_workspace_is_the_default_workspace(bench: Bench) -> None:
    await bench.run_all(DAY)
    default = await total(bench, "workspace_id = 'default'")
    raw = await bench.value("SELECT SUM(amount) FROM anthropic_reported_cost_daily_raw WHERE workspace_id IS NULL")
    named = await bench.value("SELECT name FROM anthropic_workspaces WHERE id = 'default' AND is_default")
    assert default == raw > 0
    assert named == "Default"


async def test_trap_3_a_null_api_key_is_the_workbench_and_not_unattributed(bench: Bench) -> None:
    await load_money(bench)
    rows = await bench.rows(
        "SELECT DISTINCT traffic, cost_source FROM anthropic_cost_daily WHERE api_key_id IS NULL AND billed_cost > 0"
    )
    assert {(row["traffic"], row["cost_source"]) for row in rows} == {("workbench", "allocated"), (None, "provider")}


async def test_trap_4_uncached_input_excludes_what_was_cached(bench: Bench) -> None:
    await load_money(bench)
    rows = await bench.rows("SELECT token_class, SUM(quantity) AS n FROM anthropic_cost_daily GROUP BY token_class")
    (raw,) = await bench.rows(
        "SELECT SUM(uncached_input_tokens) AS input, SUM(cache_read_input_tokens) AS cached_input,"
        " SUM(cache_creation_5m_input_tokens) AS cache_write_5m, SUM(cache_creation_1h_input_tokens) AS cache_write_1h,"
        " SUM(output_tokens) AS output, SUM(web_search_requests) AS web_search FROM anthropic_usage_daily_raw"
    )
    found = {row["token_class"]: row["n"] for row in rows if row["n"]}
    assert found == {name: Decimal(count) for name, count in raw.items()}


async def test_cache_writes_are_read_from_where_they_are_nested(bench: Bench) -> None:
    await bench.run("anthropic.usage", WINDOW)
    (row,) = await bench.rows(
        "SELECT SUM(cache_creation_5m_input_tokens) AS five, SUM(cache_creation_1h_input_tokens) AS hour"
        " FROM anthropic_usage_daily_raw"
    )
    usage = bench.truth()["usage"]
    assert row["five"] == usage["cache_creation.ephemeral_5m_input_tokens"] > 0
    assert row["hour"] == usage["cache_creation.ephemeral_1h_input_tokens"] > 0


async def test_cache_reads_and_writes_have_prices_of_their_own(bench: Bench) -> None:
    await load_money(bench)
    rows = await bench.rows(
        "SELECT DISTINCT token_class, list_unit_price FROM anthropic_cost_daily"
        " WHERE model = 'claude-sonnet-5' AND service_tier = 'standard' AND list_unit_price IS NOT NULL"
    )
    assert {row["token_class"]: row["list_unit_price"] for row in rows} == {
        "input": Decimal(2),
        "cached_input": Decimal("0.2"),
        "cache_write_5m": Decimal("2.5"),
        "cache_write_1h": Decimal(4),
        "output": Decimal(10),
        "web_search": Decimal(10),
    }


async def test_trap_5_more_days_than_the_seven_of_a_default_page_are_all_read(bench: Bench) -> None:
    bench.world = AnthropicWorld(seed=12, end_day=TODAY, days=40, rows_per_day=20)
    bench.simulator.add_account(KEY, bench.world, provider="anthropic")
    await bench.run("anthropic.reported_cost", last_days(40))
    assert (
        await bench.value("SELECT SUM(amount) FROM anthropic_reported_cost_daily_raw") == bench.truth()["cost"]["total"]
    )


async def test_trap_6_models_are_joined_by_the_model_and_not_by_the_description(bench: Bench) -> None:
    await load_money(bench)
    rows = await bench.rows(
        "SELECT DISTINCT model, description FROM anthropic_cost_daily"
        " WHERE model = 'claude-haiku-4-5-20251001' AND token_class = 'output' AND service_tier = 'batch'"
    )
    assert rows == [
        {"model": "claude-haiku-4-5-20251001", "description": "Claude Haiku 4.5 Usage (Batch) - Output Tokens"}
    ]


async def test_trap_7_claude_code_is_asked_for_day_by_day(bench: Bench) -> None:
    await bench.run("anthropic.claude_code", WINDOW)
    queries = asked(bench, "/usage_report/claude_code")
    assert sorted(queries) == [f"starting_at={day}&limit=1000" for day in WINDOW.days()]


async def test_claude_code_is_the_provider_s_and_each_column_can_be_summed(bench: Bench) -> None:
    await bench.run("anthropic.claude_code", WINDOW)
    (row,) = await bench.rows(
        "SELECT SUM(sessions) AS sessions, SUM(lines_added) AS lines_added, SUM(accepted_edits) AS accepted_edits,"
        " SUM(input_tokens + output_tokens + cache_read_tokens + cache_creation_tokens) AS tokens,"
        " SUM(estimated_cost) AS estimated_cost FROM anthropic_claude_code_daily_raw"
    )
    assert row == bench.truth()["claude_code"]


async def test_claude_code_actors_are_people_or_keys(bench: Bench) -> None:
    await bench.run("anthropic.claude_code", DAY, config=EXACTLY)
    rows = await bench.rows("SELECT DISTINCT actor_type, actor FROM anthropic_claude_code_daily_raw")
    keys = {key["name"] for key in bench.truth()["directory"]["api_keys"]}
    assert {row["actor_type"] for row in rows} == {"user_actor", "api_actor"}
    assert all("@" in row["actor"] for row in rows if row["actor_type"] == "user_actor")
    assert all(row["actor"] in keys for row in rows if row["actor_type"] == "api_actor")


async def test_claude_code_estimates_are_never_added_to_the_bill(bench: Bench) -> None:
    """Spend of customer_type api is in the reported cost already; a subscription is not on the API bill."""
    await load_money(bench, WINDOW)
    before = await read_costs(bench.warehouse, bench.org, WINDOW, granularity="total")
    await bench.run("anthropic.claude_code", WINDOW)
    await load_money(bench, WINDOW)
    kinds = await bench.rows("SELECT DISTINCT customer_type FROM anthropic_claude_code_daily_raw")
    after = await read_costs(bench.warehouse, bench.org, WINDOW, granularity="total")
    assert {row["customer_type"] for row in kinds} == {"api", "subscription"}
    assert after == before


async def test_priority_tier_has_a_list_cost_and_is_billed_nothing(bench: Bench) -> None:
    """It is committed to, not metered: the cost report leaves it out."""
    await load_money(bench, WINDOW)
    rows = await bench.rows(
        "SELECT cost_source, SUM(billed_cost) AS billed, MIN(list_cost) AS least FROM anthropic_cost_daily"
        " WHERE service_tier = 'priority' AND token_class != 'web_search' GROUP BY cost_source"
    )
    (row,) = rows
    assert (row["cost_source"], row["billed"]) == ("estimated", 0)
    assert row["least"] > 0


@pytest.mark.parametrize("cost_type", ["code_execution", "session_usage"])
async def test_cost_without_usage_stays_a_row_of_its_own(bench: Bench, cost_type: str) -> None:
    await load_money(bench, WINDOW)
    rows = await bench.rows(
        "SELECT cost_source, api_key_id, SUM(billed_cost) AS cost, SUM(quantity) AS n FROM anthropic_cost_daily"
        f" WHERE cost_type = '{cost_type}' GROUP BY cost_source, api_key_id"
    )
    cost = bench.truth()["cost"]["by_cost_type"][cost_type]
    assert rows == [{"cost_source": "provider", "api_key_id": None, "cost": cost, "n": Decimal(0)}]


async def test_refused_requests_have_tokens_and_no_cost_and_the_day_still_adds_up(bench: Bench) -> None:
    bench.world.refuses = True
    await load_money(bench, WINDOW)
    truth = bench.truth()
    assert await total(bench, "TRUE") == truth["cost"]["total"]
    counted = await bench.value("SELECT SUM(quantity) FROM anthropic_cost_daily WHERE token_class = 'output'")
    assert counted == truth["usage"]["output_tokens"]


async def test_batch_is_a_tier_with_its_own_price(bench: Bench) -> None:
    await load_money(bench)
    rows = await bench.rows(
        "SELECT DISTINCT service_tier, list_unit_price FROM anthropic_cost_daily"
        " WHERE model = 'claude-opus-4-8' AND token_class = 'output' AND list_unit_price IS NOT NULL"
    )
    assert {row["service_tier"]: row["list_unit_price"] for row in rows} == {
        "standard": Decimal(25),
        "batch": Decimal("12.5"),
    }


async def test_a_long_context_has_its_own_price_where_the_model_has_one(bench: Bench) -> None:
    await load_money(bench, WINDOW)
    rows = await bench.rows(
        "SELECT DISTINCT model, context_window, list_unit_price FROM anthropic_cost_daily"
        " WHERE model IN ('claude-sonnet-4-5-20250929', 'claude-sonnet-5') AND token_class = 'input'"
        " AND service_tier = 'standard' AND list_unit_price IS NOT NULL"
    )
    assert {(row["model"], row["context_window"]): row["list_unit_price"] for row in rows} == {
        ("claude-sonnet-4-5-20250929", "0-200k"): Decimal(3),
        ("claude-sonnet-4-5-20250929", "200k-1M"): Decimal(6),
        ("claude-sonnet-5", "0-200k"): Decimal(2),
        ("claude-sonnet-5", "200k-1M"): Decimal(2),
    }


async def test_inference_in_the_us_costs_more_and_counts_its_tokens_once(bench: Bench) -> None:
    """Two cost rows bill the same usage row, which cannot be told apart by place within five dimensions."""
    await load_money(bench, WINDOW)
    where = "model = 'claude-opus-4-8' AND service_tier = 'standard' AND token_class = 'output'"
    counted = await bench.value(f"SELECT SUM(quantity) FROM anthropic_cost_daily WHERE {where}")
    raw = await bench.value(
        "SELECT SUM(output_tokens) FROM anthropic_usage_daily_raw"
        " WHERE model = 'claude-opus-4-8' AND service_tier = 'standard'"
    )
    places = await bench.rows(f"SELECT DISTINCT inference_geo FROM anthropic_cost_daily WHERE {where}")
    assert counted == raw
    assert {row["inference_geo"] for row in places} >= {"global", "us"}


async def test_usage_is_grouped_by_no_more_than_five_dimensions(bench: Bench) -> None:
    await bench.run("anthropic.usage", WINDOW)
    assert {query.count("group_by") for query in asked(bench, "/usage_report/messages")} == {5}


async def test_a_model_without_a_price_is_visible_and_never_free(bench: Bench) -> None:
    for step in MONEY[:2]:
        await bench.run(step, WINDOW)
    result = await bench.run("anthropic.cost", WINDOW)
    listed = await bench.rows(
        "SELECT DISTINCT list_unit_price, list_cost FROM anthropic_cost_daily WHERE model = 'claude-nightjar-preview'"
    )
    assert listed == [{"list_unit_price": None, "list_cost": None}]
    assert await total(bench, "model = 'claude-nightjar-preview'") > 0
    assert any("claude-nightjar-preview" in warning for warning in result.warnings)


async def test_usage_that_is_not_billed_yet_is_an_estimate_of_nothing_billed(bench: Bench) -> None:
    await bench.run("anthropic.usage", WINDOW)
    await bench.run("anthropic.cost", WINDOW)
    rows = await bench.rows("SELECT cost_source, SUM(billed_cost) AS billed FROM anthropic_cost_daily GROUP BY 1")
    assert rows == [{"cost_source": "estimated", "billed": Decimal(0)}]


async def test_cost_without_any_usage_stays_whole(bench: Bench) -> None:
    await bench.run("anthropic.reported_cost", WINDOW)
    await bench.run("anthropic.cost", WINDOW)
    rows = await bench.rows("SELECT cost_source, SUM(billed_cost) AS billed FROM anthropic_cost_daily GROUP BY 1")
    assert rows == [{"cost_source": "provider", "billed": bench.truth()["cost"]["total"]}]


async def test_a_daily_run_reads_seven_days_again(bench: Bench) -> None:
    result = await bench.run("anthropic.usage", DAY, trigger_type="scheduler")
    assert result.metadata["days_replaced"] == 8


async def test_a_daily_run_of_a_month_s_last_day_reads_thirty_five_days_again(bench: Bench) -> None:
    bench.clock.advance(datetime(2026, 12, 1, 6, tzinfo=UTC) - bench.clock.now())
    result = await bench.run("anthropic.reported_cost", Window.day(date(2026, 11, 30)), trigger_type="scheduler")
    assert result.metadata["days_replaced"] == 36


async def test_today_is_provisional_and_replaced_when_it_is_over(bench: Bench) -> None:
    for step in ("anthropic.usage", "anthropic.reported_cost", "anthropic.claude_code"):
        await bench.run(step, Window.day(TODAY), config=EXACTLY)
        await bench.run(step, DAY, config=EXACTLY)
    rows = await bench.rows(
        "SELECT DISTINCT is_provisional FROM anthropic_usage_daily_raw WHERE usage_date < @today", today=TODAY
    )
    assert rows == [{"is_provisional": False}]


async def test_a_restated_day_replaces_the_old_one_and_never_adds_to_it(bench: Bench) -> None:
    await bench.run("anthropic.usage", WINDOW)
    before = await bench.value("SELECT COUNT(*) FROM anthropic_usage_daily_raw")
    bench.world.revise("restate", [DAY.start], share=0.3)
    await bench.run("anthropic.usage", WINDOW)
    assert await bench.value("SELECT COUNT(*) FROM anthropic_usage_daily_raw") == before


@pytest.mark.parametrize("kind", ["endless_cursor", "missing_cursor", "cut_json", "html"])
@pytest.mark.parametrize("step", ["anthropic.usage", "anthropic.reported_cost", "anthropic.claude_code"])
async def test_a_provider_that_lies_leaves_what_is_committed(bench: Bench, step: str, kind: str) -> None:
    table = f"{step.replace('.', '_')}_daily_raw"
    await bench.run(step, WINDOW)
    before = await bench.rows(f"SELECT usage_date, COUNT(*) AS n FROM {table} GROUP BY usage_date ORDER BY usage_date")
    bench.simulator.faults.add(FaultRule(kind=kind))
    with pytest.raises(ConvergenceError):
        await bench.run(step, WINDOW)
    after = await bench.rows(f"SELECT usage_date, COUNT(*) AS n FROM {table} GROUP BY usage_date ORDER BY usage_date")
    assert after == before


@pytest.mark.parametrize(
    "fault",
    [
        rate_limited(retry_after=1, count=2),
        FaultRule(kind="status", status=529, count=2),
        FaultRule(kind="reset", count=1),
    ],
    ids=["429", "529", "reset"],
)
async def test_a_busy_provider_is_asked_again(bench: Bench, fault: FaultRule) -> None:
    bench.simulator.faults.add(fault)
    await bench.run("anthropic.reported_cost", WINDOW)
    assert (
        await bench.value("SELECT SUM(amount) FROM anthropic_reported_cost_daily_raw") == bench.truth()["cost"]["total"]
    )


async def test_a_row_sent_twice_counts_once(bench: Bench) -> None:
    await bench.run("anthropic.reported_cost", DAY, config=EXACTLY)
    bench.simulator.faults.add(FaultRule(kind="duplicate", path="*/cost_report", share=0.2))
    result = await bench.run("anthropic.reported_cost", DAY, config=EXACTLY)
    assert result.metadata["days_unchanged"] == 1


@pytest.mark.parametrize("kind", ["changed_type", "nan", "missing_field"])
async def test_a_bad_amount_is_kept_apart_and_the_good_ones_stay_cents(bench: Bench, kind: str) -> None:
    """The strict way of reading moves the point too."""
    await bench.run("anthropic.reported_cost", DAY, config=EXACTLY)
    before = await bench.value("SELECT SUM(amount) FROM anthropic_reported_cost_daily_raw")
    bench.simulator.faults.add(FaultRule(kind=kind, path="*/cost_report", count=1))
    result = await bench.run("anthropic.reported_cost", DAY, config=EXACTLY)
    after = await bench.value("SELECT SUM(amount) FROM anthropic_reported_cost_daily_raw")
    assert result.metadata["rows_rejected"] == 1
    assert before / 2 < after < before


async def test_a_new_field_is_named_and_costs_nothing_else(bench: Bench) -> None:
    bench.simulator.faults.add(FaultRule(kind="new_field", path="*/usage_report/messages"))
    result = await bench.run("anthropic.usage", DAY, config=EXACTLY)
    assert any("surprise" in warning for warning in result.warnings)
    assert result.rows_processed > 0


async def test_a_day_that_shrinks_once_is_not_believed(bench: Bench) -> None:
    await bench.run("anthropic.reported_cost", WINDOW)
    bench.simulator.faults.add(FaultRule(kind="shrink", path="*/cost_report", share=0.9, count=1))
    with pytest.raises(DataQualityError) as caught:
        await bench.run("anthropic.reported_cost", DAY, config=EXACTLY)
    assert caught.value.code == "unstable_source"


async def test_a_day_cleared_for_good_is_empty_after_a_second_look(bench: Bench) -> None:
    await load_money(bench, WINDOW)
    bench.world.revise("clear", [DAY.start])
    for step in MONEY:
        await bench.run(step, DAY, config=EXACTLY, limits=LoadLimits(shrink_recheck=timedelta(seconds=600)))
    assert await total(bench, "TRUE") == bench.truth()["cost"]["total"]
    assert await total(bench, f"usage_date = DATE '{DAY.start}'") == 0


async def test_an_ordinary_key_is_refused_by_name(bench: Bench) -> None:
    with pytest.raises(ProviderRejected) as caught:
        await bench.run("anthropic.usage", DAY, key="sk-ant-api03-wrong-0123456789")
    assert caught.value.code == "credential_invalid"
    assert "sk-ant-api03-wrong" not in str(caught.value)


async def test_every_request_says_which_version_it_speaks_and_who_asks(bench: Bench) -> None:
    """Without the version the simulator answers 400, as the vendor does."""
    result: Any = await bench.run("anthropic.directory", DAY)
    assert result.rows_processed > 10


async def test_keys_and_people_of_the_past_are_kept(bench: Bench) -> None:
    bench.clock.advance(timedelta(days=-6))
    bench.simulator.clock.advance(timedelta(days=-6))  # type: ignore[attr-defined]
    await bench.run("anthropic.directory", DAY)
    bench.clock.advance(timedelta(days=6))
    bench.simulator.clock.advance(timedelta(days=6))  # type: ignore[attr-defined]
    await bench.run("anthropic.directory", DAY)
    gone = await bench.rows("SELECT email FROM anthropic_users WHERE is_deleted")
    owned = await bench.value("SELECT COUNT(*) FROM dim_api_keys WHERE person = @person", person=gone[0]["email"])
    assert len(gone) == 1
    assert owned > 0


async def test_an_archived_workspace_and_key_are_listed(bench: Bench) -> None:
    await bench.run("anthropic.directory", DAY)
    rooms = await bench.value("SELECT COUNT(*) FROM anthropic_workspaces WHERE archived_at IS NOT NULL")
    keys = await bench.value("SELECT COUNT(*) FROM anthropic_api_keys WHERE status = 'archived'")
    assert (rooms, keys > 0) == (1, True)


async def test_the_key_is_in_no_table(bench: Bench) -> None:
    await bench.run_all(DAY)
    for table in await bench.warehouse.tables(bench.org.dataset):
        assert KEY not in repr(await bench.rows(f"SELECT * FROM {table}"))
