"""What has gone wrong in other tools that read DeepSeek's exports and balance."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from step_bench import NOW, TODAY, Bench, last_days

from convergence.connectors import bearer
from convergence.errors import ConvergenceError, InvalidRequest, ProviderRejected, StepFailed
from convergence.kit.window import Window, midnight
from convergence.simulator import DeepSeekWorld, ExportForm, build_export, zip_export

from .conftest import COST_STEPS, PIPELINE, load_csv, load_export

DAY = last_days(1)
WEEK = last_days(7)
SHANGHAI = timedelta(hours=8)
AMOUNT = "user_id,utc_date,model,api_key_name,api_key,type,price,amount\n"
COST = "user_id,utc_date,model,wallet_type,cost,currency\n"
ISO_AMOUNT = AMOUNT.replace("utc_date", "start_time_iso,end_time_iso")
ISO_COST = COST.replace("utc_date", "start_time_iso,end_time_iso")


async def billed(bench: Bench, where: str = "TRUE") -> Decimal:
    found: Decimal = await bench.value(f"SELECT COALESCE(SUM(billed_cost), 0) FROM deepseek_cost_daily WHERE {where}")
    return found


async def cost_by_day(bench: Bench) -> dict[str, Decimal]:
    return await bench.daily("deepseek_cost_daily", "billed_cost")


def truth_of(bench: Bench, days: Window) -> dict[str, Decimal]:
    by_day = bench.truth()["cost"]["by_day"]
    return {day.isoformat(): by_day[day.isoformat()] for day in days.days() if by_day.get(day.isoformat())}


async def test_there_is_no_usage_endpoint_and_none_is_asked_for(bench: Bench) -> None:
    client = bench.http.client("acme", "deepseek", bearer(bench.key))
    with pytest.raises(ProviderRejected, match=r"api\.usage\.read"):
        await client.get("/v1/usage")
    bench.simulator.journal.clear()

    await bench.run_all(DAY)

    paths = {entry.path for entry in bench.simulator.journal.entries()}
    assert paths == {"/deepseek/user/balance", "/deepseek/models"}


async def test_the_bom_the_line_ends_and_both_ways_to_write_a_day_do_not_matter(bench: Bench) -> None:
    await load_export(bench, WEEK, ExportForm("utc_date", compact=True, line_end="\n"))
    again = await load_export(bench, WEEK, ExportForm("utc_date"))
    assert await cost_by_day(bench) == truth_of(bench, WEEK)
    assert again["transform_cost"].metadata["days_replaced"] == 0


async def test_a_price_is_of_one_token_and_is_kept_exactly(bench: Bench) -> None:
    """0.0000000028 has ten decimals, one more than NUMERIC: kept for a million tokens it has four."""
    await load_csv(
        bench,
        AMOUNT + "u,2026-11-01,deepseek-v4-flash,k,sk-test***0001,input_cache_hit_tokens,0.0000000028,10000000\n",
        COST + "u,2026-11-01,deepseek-v4-flash,Paid,0.0280000000000000,USD\n",
    )
    (row,) = await bench.rows("SELECT quantity, charged_unit_price, billed_cost FROM deepseek_cost_daily")
    assert row == {"quantity": 10_000_000, "charged_unit_price": Decimal("0.0028"), "billed_cost": Decimal("0.028")}


async def test_the_price_is_part_of_the_key_so_that_peak_and_off_peak_do_not_replace_each_other(bench: Bench) -> None:
    row = "u,2026-11-02,deepseek-flash,k,sk-test***0001,input_cache_miss_tokens,{},1000000\n"
    made = await load_csv(
        bench,
        AMOUNT + row.format("0.00000015") + row.format("0.0000003"),
        COST + "u,2026-11-02,deepseek-flash,Paid,0.45,USD\n",
    )
    rows = await bench.rows("SELECT service_tier, billed_cost FROM deepseek_cost_daily ORDER BY billed_cost")
    assert [tuple(row.values()) for row in rows] == [("default", Decimal("0.15")), ("peak", Decimal("0.3"))]
    assert made["load_export"].metadata["unexplained"] == []


async def test_the_currency_is_the_cost_file_s_and_never_assumed(bench: Bench) -> None:
    amount = AMOUNT + "u,2026-04-27,deepseek-v4-flash,k,sk-test***0001,output_tokens,0.000002,1110\n"
    alone = await load_csv(bench, amount)
    before = await bench.rows("SELECT currency, billed_cost, list_cost, cost_source FROM deepseek_cost_daily")
    await load_csv(bench, COST + "u,2026-04-27,deepseek-v4-flash,Paid,0.0022200000000000,CNY\n")
    after = await bench.rows("SELECT currency, billed_cost, list_cost, cost_source FROM deepseek_cost_daily")

    price = Decimal("0.00222")
    assert before == [{"currency": "XXX", "billed_cost": 0, "list_cost": price, "cost_source": "estimated"}]
    assert after == [{"currency": "CNY", "billed_cost": price, "list_cost": price, "cost_source": "allocated"}]
    assert any("no cost file" in warning for warning in alone["load_export"].warnings)


async def test_usage_of_a_later_day_has_the_currency_of_the_account(bench: Bench) -> None:
    await load_csv(bench, COST + "u,2026-04-27,deepseek-v4-flash,Paid,1,CNY\n")
    await load_csv(bench, AMOUNT + "u,2026-04-28,deepseek-v4-flash,k,sk-test***0001,output_tokens,0.000002,1\n")
    rows = await bench.rows("SELECT DISTINCT currency FROM deepseek_cost_daily")
    assert rows == [{"currency": "CNY"}]


async def test_a_new_type_is_kept_charged_and_told(bench: Bench) -> None:
    made = await load_export(bench, DAY, ExportForm(new_type=True))
    (row,) = await bench.rows(
        "SELECT SUM(quantity) AS n, SUM(billed_cost) AS cost, MIN(unit) AS unit FROM deepseek_cost_daily"
        " WHERE token_class = 'web_search_calls'"
    )
    assert (row["cost"], row["unit"]) == (row["n"] * Decimal("0.005"), "Requests")
    assert any("web_search_calls" in warning for warning in made["load_export"].warnings)
    assert made["load_export"].metadata["unexplained"] == []


async def test_requests_are_counted_and_cost_nothing(bench: Bench) -> None:
    await load_export(bench, DAY)
    counted = await bench.value("SELECT SUM(amount) FROM deepseek_usage_daily_raw WHERE type = 'request_count'")
    assert counted > 0
    assert await bench.value("SELECT COUNT(*) FROM deepseek_cost_daily WHERE token_class = 'request'") == 0


async def test_keys_are_masked_again_even_where_the_export_shows_them(bench: Bench) -> None:
    await load_export(bench, DAY, ExportForm(plain_keys=True))
    plain = await bench.rows("SELECT DISTINCT api_key_id FROM deepseek_cost_daily")
    await load_export(bench, DAY, ExportForm(plain_keys=False))
    masked = await bench.rows("SELECT DISTINCT api_key_id FROM deepseek_cost_daily")
    secrets = [key.secret for key in bench.world.keys]
    everything = str(await bench.rows("SELECT * FROM deepseek_usage_daily_raw"))

    assert sorted(map(str, plain)) == sorted(map(str, masked))
    assert {row["api_key_id"] for row in masked} <= {key.id for key in bench.world.keys}
    assert not any(secret in everything for secret in secrets)


async def test_a_refused_row_shows_no_key(bench: Bench) -> None:
    secret = "sk-0123456789abcdef0123456789abcdef"
    good = "u,2026-11-02,deepseek-flash,k,sk-test***0001,output_tokens,0.0000006,1\n"
    await load_csv(bench, AMOUNT + good + f"u,2026-11-02,deepseek-flash,k,{secret},output_tokens,-1,1\n")
    (row,) = await bench.rows("SELECT usage_date, raw FROM deepseek_usage_daily_raw_rejects")
    assert row["usage_date"] == date(2026, 11, 2)
    assert "deepseek-flash" in row["raw"]
    assert "456789ab" not in row["raw"]


async def test_hours_of_another_offset_are_their_utc_days_exactly(bench: Bench) -> None:
    """The exporter's day begins eight hours before UTC's: each UTC day has parts of two of them."""
    await load_export(bench, Window(WEEK.start, WEEK.end + timedelta(days=1)), ExportForm(by="hour", offset=SHANGHAI))
    found, truth = await cost_by_day(bench), truth_of(bench, WEEK)
    assert {day: found[day] for day in truth if day != WEEK.start.isoformat()} == {
        day: cost for day, cost in truth.items() if day != WEEK.start.isoformat()
    }
    assert await bench.rows("SELECT DISTINCT is_utc_day FROM deepseek_usage_daily_raw") == [{"is_utc_day": True}]


async def test_both_clocks_are_kept(bench: Bench) -> None:
    await load_export(bench, DAY, ExportForm(offset=SHANGHAI))
    rows = await bench.rows(
        "SELECT DISTINCT start_time, end_time, start_time_iso, export_date, usage_date, offset_minutes"
        " FROM deepseek_usage_daily_raw"
    )
    (row,) = rows
    assert (row["start_time_iso"], row["offset_minutes"]) == (f"{DAY.start}T00:00:00+08:00", 480)
    assert (row["start_time"], row["end_time"]) == (midnight(DAY.start) - SHANGHAI, midnight(DAY.end) - SHANGHAI)
    assert row["export_date"] == row["usage_date"] == DAY.start


async def test_days_of_another_offset_are_flagged_and_lose_nothing(bench: Bench) -> None:
    made = await load_export(bench, WEEK, ExportForm(offset=SHANGHAI))
    reported = await bench.value("SELECT SUM(amount) FROM deepseek_reported_cost_daily_raw")
    assert await bench.rows("SELECT DISTINCT is_utc_day FROM deepseek_reported_cost_daily_raw") == [
        {"is_utc_day": False}
    ]
    assert any("do not start at 00:00 UTC" in warning for warning in made["load_export"].warnings)
    assert await billed(bench) == reported > 0


async def test_hours_whose_cost_is_told_by_the_day_stay_beside_it(bench: Bench) -> None:
    """Apart they would be an estimate on one day and cost without usage on the next."""
    forms = {"amount": ExportForm(by="hour", offset=SHANGHAI), "cost": ExportForm(by="day", offset=SHANGHAI)}
    files = {
        name: content
        for part, form in forms.items()
        for name, content in build_export(bench.world, DAY, bench.clock.now(), form).items()
        if name.startswith(part)
    }
    made = await bench.load_file(zip_export(files), "usage.zip", pipeline=PIPELINE, only=COST_STEPS)
    rows = await bench.rows("SELECT DISTINCT usage_date, cost_source FROM deepseek_cost_daily")
    assert rows == [{"usage_date": DAY.start, "cost_source": "allocated"}]
    assert made["load_export"].metadata["unexplained"] == []


async def test_the_newest_of_two_overlapping_files_counts_and_the_other_days_stay(bench: Bench) -> None:
    """A month, then three days of it that were restated: nothing is doubled, nothing else is touched."""
    await load_export(bench, WEEK)
    bench.world.revise("restate", list(WEEK.days())[2:5], share=1.0)
    bench.clock.advance(timedelta(hours=1))
    part = Window(WEEK.start + timedelta(days=2), WEEK.start + timedelta(days=5))
    await load_export(bench, part)
    assert await cost_by_day(bench) == truth_of(bench, WEEK)


async def test_an_older_file_that_is_loaded_late_takes_nothing_back(bench: Bench) -> None:
    old = zip_export(build_export(bench.world, WEEK, bench.clock.now()))
    bench.world.revise("restate", list(WEEK.days())[2:5], share=1.0)
    bench.clock.advance(timedelta(hours=1))
    await load_export(bench, Window(WEEK.start + timedelta(days=1), WEEK.end))
    bench.clock.advance(timedelta(hours=-1))
    await bench.load_file(old, "usage_data.zip", pipeline=PIPELINE, only=COST_STEPS)
    assert await cost_by_day(bench) == truth_of(bench, WEEK)


async def test_hours_take_the_place_of_the_days_they_tell_of(bench: Bench) -> None:
    await load_export(bench, WEEK, ExportForm("utc_date"))
    bench.clock.advance(timedelta(minutes=1))
    await load_export(bench, DAY, ExportForm(by="hour"))
    assert await cost_by_day(bench) == truth_of(bench, WEEK)
    assert await bench.value("SELECT COUNT(DISTINCT start_time) FROM deepseek_usage_daily_raw") > 20


async def test_an_export_of_another_offset_leaves_the_hours_it_does_not_tell_of(bench: Bench) -> None:
    """The day in Shanghai ends at 16:00 UTC: replacing all of the UTC day would lose eight hours."""
    await load_export(bench, WEEK, ExportForm(by="hour"))
    bench.clock.advance(timedelta(minutes=1))
    await load_export(bench, DAY, ExportForm(by="hour", offset=SHANGHAI))
    assert await cost_by_day(bench) == truth_of(bench, WEEK)


async def test_two_accounts_do_not_replace_each_other(bench: Bench) -> None:
    await load_export(bench, DAY)
    ours = bench.truth()["cost"]["by_day"][DAY.start.isoformat()]
    other = DeepSeekWorld(seed=99, end_day=TODAY, days=7, steady=True)
    files = build_export(other, DAY, bench.clock.now())
    await bench.load_file(zip_export(files), "other.zip", pipeline=PIPELINE, only=COST_STEPS)
    theirs = other.truth(NOW)["cost"]["by_day"][DAY.start.isoformat()]
    rows = await bench.rows("SELECT account_id AS id, SUM(billed_cost) AS cost FROM deepseek_cost_daily GROUP BY 1")
    assert {row["id"]: row["cost"] for row in rows} == {bench.world.user_id: ours, other.user_id: theirs}


async def test_the_running_day_is_partial_and_marked_until_a_later_export(bench: Bench) -> None:
    bench.world.window = Window(WEEK.start, WEEK.end + timedelta(days=1))
    today = Window.day(TODAY)
    await load_export(bench, today)
    marks = [await bench.rows("SELECT DISTINCT is_provisional FROM deepseek_usage_daily_raw")]
    partial = await billed(bench)
    for clock in (bench.clock, bench.simulator.clock):
        clock.advance(timedelta(days=1))
    await load_export(bench, today)
    marks.append(await bench.rows("SELECT DISTINCT is_provisional FROM deepseek_usage_daily_raw"))
    assert marks == [[{"is_provisional": True}], [{"is_provisional": False}]]
    assert 0 < partial < await billed(bench) == truth_of(bench, today)[TODAY.isoformat()]


async def test_amounts_that_do_not_explain_the_cost_are_told_and_the_cost_counts(bench: Bench) -> None:
    made = await load_csv(
        bench,
        AMOUNT + "u,2026-11-02,deepseek-flash,k,sk-test***0001,output_tokens,0.0000006,1000000\n",
        COST + "u,2026-11-02,deepseek-flash,Paid,0.61,USD\n",
    )
    assert made["load_export"].metadata["unexplained"] == ["2026-11-02 deepseek-flash"]
    assert await billed(bench) == Decimal("0.61")


async def test_what_two_wallets_paid_adds_up_and_tokens_count_once(bench: Bench) -> None:
    await load_export(bench, WEEK)
    wallets = await bench.rows("SELECT wallet_type, SUM(billed_cost) AS cost FROM deepseek_cost_daily GROUP BY 1")
    tokens = await bench.value("SELECT SUM(quantity) FROM deepseek_cost_daily")
    usage = bench.truth()["usage"]
    assert {row["wallet_type"] for row in wallets} == {"Granted", "Paid"}
    assert sum(row["cost"] for row in wallets) == bench.truth()["cost"]["total"]
    assert tokens == sum(count for name, count in usage.items() if name != "request_count")


async def test_cost_without_usage_is_a_row_of_its_own(bench: Bench) -> None:
    await load_csv(bench, COST + "u,2026-11-02,deepseek-flash,Paid,0.61,USD\n")
    rows = await bench.rows("SELECT api_key_id, cost_source, billed_cost, quantity FROM deepseek_cost_daily")
    assert rows == [{"api_key_id": None, "cost_source": "provider", "billed_cost": Decimal("0.61"), "quantity": 0}]


async def test_single_files_do_as_well_as_a_zip(bench: Bench) -> None:
    for name, content in build_export(bench.world, DAY, bench.clock.now()).items():
        await bench.load_file(content, name, pipeline=PIPELINE, only=COST_STEPS)
    assert await cost_by_day(bench) == truth_of(bench, DAY)


async def test_both_currencies_of_a_balance_are_kept_apart(bench: Bench) -> None:
    await bench.run("deepseek.balance", DAY)
    rows = await bench.rows("SELECT currency, total_balance FROM deepseek_balance_snapshot_raw ORDER BY currency")
    assert [row["currency"] for row in rows] == ["CNY", "USD"]
    assert rows[0]["total_balance"] == 0 < rows[1]["total_balance"]
    assert "deepseek_cost_daily" not in await bench.warehouse.tables(bench.org.dataset)


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        (("a,b\n1,2\n",), "not_an_export"),
        ((AMOUNT,), "file_without_rows"),
        ((ISO_AMOUNT + "u,2026-11-02T00:00:00,2026-11-03T00:00:00,m,k,s,output_tokens,1,1\n",), "file_without_rows"),
        ((COST.replace(",currency", "") + "u,2026-11-02,m,Paid,1\n",), "columns_missing"),
    ],
)
async def test_what_is_no_export_is_refused_and_changes_nothing(
    bench: Bench, texts: tuple[str, ...], code: str
) -> None:
    with pytest.raises(ConvergenceError) as refused:
        await load_csv(bench, *texts)
    assert refused.value.code == code
    assert await bench.warehouse.tables(bench.org.dataset) == []


async def test_an_archive_without_a_table_is_refused(bench: Bench) -> None:
    with pytest.raises(InvalidRequest, match="no CSV file"):
        await bench.load_file(zip_export({"readme.txt": b"hello"}), "usage.zip", pipeline=PIPELINE, only=COST_STEPS)


async def test_a_file_that_was_never_uploaded_here_is_not_there(bench: Bench) -> None:
    for upload in ("0" * 64, "../../secret", None):
        with pytest.raises(StepFailed) as missing:
            await bench.run("deepseek.export", None, parameters={"upload": upload})
        assert missing.value.code == "upload_missing"


async def test_a_hostile_zip_fails_its_run(bench: Bench) -> None:
    inner = zip_export({"a.csv": b"1"})
    with pytest.raises(InvalidRequest, match="archive again"):
        await bench.load_file(zip_export({"a.csv": inner}), "usage.zip", pipeline=PIPELINE, only=COST_STEPS)
