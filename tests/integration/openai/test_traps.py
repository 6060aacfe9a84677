"""What has gone wrong in other tools that read OpenAI's usage and costs."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from step_bench import TODAY, Bench, last_days

from convergence.errors import ConvergenceError, DataQualityError, ProviderRejected
from convergence.kit.window import Window
from convergence.simulator import FaultRule, OpenAIWorld
from convergence.sql import Statement
from convergence.steps import LoadLimits

from .conftest import KEY

WINDOW = last_days(7)
DAY = Window.day(TODAY - timedelta(days=1))
EXACTLY = {"restatement_days": 0}


@pytest.fixture
def world() -> OpenAIWorld:
    return OpenAIWorld(seed=11, end_day=TODAY, days=7, rows_per_day=60, steady=True)


@pytest.fixture
def simulator_of_forty_days(bench: Bench) -> Bench:
    """More days than one page holds."""
    bench.world = OpenAIWorld(seed=12, end_day=TODAY, days=40, rows_per_day=20)
    bench.simulator.add_account(KEY, bench.world)
    return bench


async def cost(bench: Bench) -> Decimal:
    found: Decimal = await bench.value("SELECT SUM(amount) FROM openai_reported_cost_daily_raw")
    return found


async def usage_rows(bench: Bench) -> int:
    found: int = await bench.value("SELECT COUNT(*) FROM openai_usage_daily_raw")
    return found


async def test_trap_1_more_buckets_than_a_default_page_are_all_read(simulator_of_forty_days: Bench) -> None:
    bench = simulator_of_forty_days
    await bench.run("openai.reported_cost", last_days(40), config={"window_days": 180})
    assert await cost(bench) == bench.truth()["cost"]["total"]


async def test_trap_2_cached_tokens_are_not_counted_twice(bench: Bench) -> None:
    await bench.run_all(DAY)
    (row,) = await bench.rows(
        "SELECT SUM(IF(token_class IN ('input', 'input_audio', 'cached_input', 'cached_input_audio', 'cache_write'),"
        " quantity, 0)) AS input, SUM(IF(token_class IN ('cached_input', 'cached_input_audio'), quantity, 0)) AS cached"
        " FROM openai_cost_daily WHERE endpoint = 'completions' AND usage_date = @day",
        day=DAY.start,
    )
    (raw,) = await bench.rows(
        "SELECT SUM(input_tokens) AS input, SUM(input_cached_tokens) AS cached FROM openai_usage_daily_raw"
        " WHERE endpoint = 'completions' AND usage_date = @day",
        day=DAY.start,
    )
    assert row == {"input": Decimal(raw["input"]), "cached": Decimal(raw["cached"])}


async def test_trap_3_and_4_every_row_says_what_it_was_grouped_by(bench: Bench) -> None:
    await bench.run("openai.usage", DAY, config=EXACTLY)
    rows = await bench.rows(
        "SELECT DISTINCT group_by FROM openai_usage_daily_raw WHERE endpoint = 'completions' AND api_key_id IS NULL"
    )
    assert rows == [{"group_by": "project_id,user_id,api_key_id,model,batch,service_tier"}]


async def test_trap_5_a_service_account_s_key_is_nobody_s(bench: Bench) -> None:
    await bench.run_all(DAY)
    rows = await bench.rows(
        "SELECT DISTINCT p.person FROM openai_cost_daily c JOIN dim_people p ON p.user_id = c.user_id"
        " WHERE p.type = 'service_account'"
    )
    assert rows == [{"person": None}]


async def test_trap_6_money_of_a_user_is_allocated_never_provided(bench: Bench) -> None:
    await bench.run_all(DAY)
    rows = await bench.rows("SELECT DISTINCT cost_source FROM openai_cost_daily WHERE user_id IS NOT NULL")
    assert {row["cost_source"] for row in rows} <= {"allocated", "estimated"}


async def test_trap_7_costs_by_key_refused_are_read_by_project_and_allocated(bench: Bench) -> None:
    bench.world.rejects_api_key_grouping = True
    result = await bench.run("openai.reported_cost", WINDOW)
    await bench.run("openai.usage", WINDOW)
    await bench.run("openai.cost", WINDOW)
    total = await bench.value("SELECT SUM(billed_cost) FROM openai_cost_daily")
    keyed = await bench.value("SELECT SUM(billed_cost) FROM openai_cost_daily WHERE api_key_id IS NOT NULL")
    assert result.metadata["group_by"] == "project_id,line_item"
    assert total == bench.truth()["cost"]["total"]
    assert keyed > total / 2
    assert "refuses costs by api_key_id" in result.warnings[0]


async def test_trap_8_tool_calls_have_their_own_lines(bench: Bench) -> None:
    await bench.run_all(WINDOW)
    rows = await bench.rows(
        "SELECT token_class, SUM(billed_cost) AS cost FROM openai_cost_daily WHERE token_class IN"
        " ('web_search', 'file_search', 'sessions', 'storage', 'images') GROUP BY token_class ORDER BY token_class"
    )
    assert {row["token_class"] for row in rows if row["cost"] > 0} == {
        "file_search", "images", "sessions", "storage", "web_search",
    }  # fmt: skip


async def test_a_level_is_never_summed_as_a_count(bench: Bench) -> None:
    """Stored bytes over days are byte-days, a unit that says so."""
    await bench.run_all(WINDOW)
    rows = await bench.rows("SELECT DISTINCT unit FROM openai_cost_daily WHERE token_class = 'storage'")
    assert rows == [{"unit": "Byte-Days"}]


async def test_today_is_provisional_and_replaced_when_it_is_over(bench: Bench) -> None:
    await bench.run("openai.usage", Window.day(TODAY), config=EXACTLY)
    await bench.run("openai.usage", DAY, config=EXACTLY)
    rows = await bench.rows(
        "SELECT DISTINCT is_provisional FROM openai_usage_daily_raw WHERE usage_date < @today", today=TODAY
    )
    assert rows == [{"is_provisional": False}]


async def test_a_daily_run_reads_the_days_before_again(bench: Bench) -> None:
    result = await bench.run("openai.usage", DAY, trigger_type="scheduler")
    assert result.metadata["days_replaced"] == 4


async def test_a_backfill_takes_exactly_its_days(bench: Bench) -> None:
    result = await bench.run("openai.usage", last_days(2))
    assert result.metadata["days_replaced"] == 2


async def test_usage_that_is_not_billed_yet_is_an_estimate_of_nothing_billed(bench: Bench) -> None:
    """Costs lag behind usage by hours."""
    await bench.run("openai.usage", WINDOW)
    await bench.run("openai.cost", WINDOW)
    rows = await bench.rows(
        "SELECT cost_source, SUM(billed_cost) AS billed FROM openai_cost_daily GROUP BY cost_source"
    )
    assert rows == [{"cost_source": "estimated", "billed": Decimal(0)}]


async def test_cost_without_usage_stays_whole(bench: Bench) -> None:
    await bench.run("openai.reported_cost", WINDOW)
    await bench.run("openai.cost", WINDOW)
    rows = await bench.rows(
        "SELECT cost_source, SUM(billed_cost) AS billed FROM openai_cost_daily GROUP BY cost_source"
    )
    assert rows == [{"cost_source": "provider", "billed": bench.truth()["cost"]["total"]}]


async def test_a_restated_day_replaces_the_old_one_and_never_adds_to_it(bench: Bench) -> None:
    await bench.run("openai.usage", WINDOW)
    before = await usage_rows(bench)
    bench.world.revise("restate", [DAY.start], share=0.3)
    await bench.run("openai.usage", WINDOW)
    assert await usage_rows(bench) == before


@pytest.mark.parametrize("kind", ["endless_cursor", "missing_cursor", "cut_json", "html"])
@pytest.mark.parametrize("step", ["openai.usage", "openai.reported_cost"])
async def test_a_provider_that_lies_leaves_what_is_committed(bench: Bench, step: str, kind: str) -> None:
    await bench.run(step, WINDOW)
    table = "openai_usage_daily_raw" if step == "openai.usage" else "openai_reported_cost_daily_raw"
    before = await bench.rows(f"SELECT * FROM {table} ORDER BY TO_JSON_STRING(STRUCT(project_id, api_key_id))")
    bench.simulator.faults.add(FaultRule(kind=kind))
    with pytest.raises(ConvergenceError):
        await bench.run(step, WINDOW)
    assert await bench.rows(f"SELECT * FROM {table} ORDER BY TO_JSON_STRING(STRUCT(project_id, api_key_id))") == before


async def test_a_row_sent_twice_counts_once(bench: Bench) -> None:
    await bench.run("openai.usage", DAY, config=EXACTLY)
    before = await usage_rows(bench)
    bench.simulator.faults.add(FaultRule(kind="duplicate", path="*/usage/completions", share=0.1))
    result = await bench.run("openai.usage", DAY, config=EXACTLY)
    assert await usage_rows(bench) == before
    assert result.metadata["days_unchanged"] == 1


async def test_a_few_bad_rows_are_kept_apart(bench: Bench) -> None:
    bench.simulator.faults.add(FaultRule(kind="changed_type", path="*/usage/completions", count=1))
    result = await bench.run("openai.usage", DAY, config=EXACTLY)
    (reject,) = await bench.rows("SELECT usage_date, reason, raw FROM openai_usage_daily_raw_rejects")
    assert result.metadata["rows_rejected"] == 1
    assert reject["usage_date"] == DAY.start
    assert "whole number" in reject["reason"]
    assert "completions" in reject["raw"]


async def test_too_many_bad_rows_fail_the_day_and_keep_the_old_one(bench: Bench) -> None:
    await bench.run("openai.usage", WINDOW)
    before = await usage_rows(bench)
    bench.simulator.faults.add(FaultRule(kind="negative", path="*/usage/completions", share=0.9))
    with pytest.raises(DataQualityError) as caught:
        await bench.run("openai.usage", DAY, config=EXACTLY)
    assert caught.value.code == "too_many_bad_rows"
    assert caught.value.fields == {"days": [DAY.start.isoformat()]}
    assert await usage_rows(bench) == before


async def test_nan_is_a_bad_row_and_not_an_amount(bench: Bench) -> None:
    bench.simulator.faults.add(FaultRule(kind="nan", path="*/costs", count=1))
    result = await bench.run("openai.reported_cost", DAY, config=EXACTLY)
    assert result.metadata["rows_rejected"] == 1


async def test_a_day_that_shrank_for_good_is_published_after_a_second_look(bench: Bench) -> None:
    await bench.run("openai.usage", WINDOW)
    bench.world.revise("clear", [DAY.start])
    started = bench.clock.now()
    await bench.run("openai.usage", DAY, config=EXACTLY, limits=LoadLimits(shrink_recheck=timedelta(seconds=600)))
    left = await bench.value("SELECT COUNT(*) FROM openai_usage_daily_raw WHERE usage_date = @day", day=DAY.start)
    assert left == 0
    assert bench.clock.now() - started >= timedelta(seconds=600)


async def test_a_day_that_shrinks_once_is_not_believed(bench: Bench) -> None:
    await bench.run("openai.reported_cost", WINDOW)
    before = await cost(bench)
    bench.simulator.faults.add(FaultRule(kind="shrink", path="*/costs", share=0.9, count=1))
    with pytest.raises(DataQualityError) as caught:
        await bench.run("openai.reported_cost", DAY, config=EXACTLY)
    assert caught.value.code == "unstable_source"
    assert await cost(bench) == before


async def test_an_empty_day_is_a_day_without_usage(bench: Bench) -> None:
    long_ago = Window.day(TODAY - timedelta(days=60))
    result = await bench.run("openai.usage", long_ago)
    assert (result.rows_processed, result.metadata["days_replaced"]) == (0, 1)


async def test_a_page_that_is_too_large_is_asked_for_in_days(bench: Bench) -> None:
    bench.simulator.faults.add(FaultRule(kind="huge_body", path="*/usage/completions", skip=1, count=1))
    await bench.run("openai.usage", WINDOW)
    days = await bench.value("SELECT COUNT(DISTINCT usage_date) FROM openai_usage_daily_raw")
    assert days == 7


async def test_a_project_key_is_refused_by_name(bench: Bench) -> None:
    with pytest.raises(ProviderRejected) as caught:
        await bench.run("openai.usage", DAY, key="sk-proj-wrong-0123456789")
    assert caught.value.code == "credential_invalid"
    assert "sk-proj-wrong" not in str(caught.value)


async def test_what_vanished_from_the_directory_is_kept(bench: Bench) -> None:
    await bench.run("openai.directory", DAY)
    await bench.warehouse.execute(
        Statement(
            "INSERT INTO openai_users (id, type, last_seen_at, is_deleted, ingestion_date, ingestion_timestamp,"
            " pipeline_logging_id) VALUES ('user-gone', 'user', TIMESTAMP '2026-01-01 00:00:00+00', FALSE,"
            " DATE '2026-01-01', TIMESTAMP '2026-01-01 00:00:00+00', 'run_0')",
            bench.org.dataset,
        )
    )
    bench.clock.advance(timedelta(hours=1))
    await bench.run("openai.directory", DAY)
    (row,) = await bench.rows("SELECT is_deleted FROM openai_users WHERE id = 'user-gone'")
    alive = await bench.value("SELECT COUNT(*) FROM openai_users WHERE NOT is_deleted")
    assert row == {"is_deleted": True}
    assert alive > 10


async def test_a_key_without_access_is_listed(bench: Bench) -> None:
    await bench.run("openai.directory", DAY)
    found = await bench.value("SELECT COUNT(*) FROM openai_api_keys WHERE owner_project_access = 'inactive'")
    assert found == 1


async def test_an_archived_project_is_listed(bench: Bench) -> None:
    await bench.run("openai.directory", DAY)
    found = await bench.rows("SELECT DISTINCT status FROM openai_projects ORDER BY status")
    assert found == [{"status": "active"}, {"status": "archived"}]


async def test_the_key_is_in_no_table(bench: Bench) -> None:
    await bench.run_all(DAY)
    for table in await bench.warehouse.tables(bench.org.dataset):
        rows = await bench.rows(f"SELECT * FROM {table}")
        assert KEY not in repr(rows)
