"""From the provider to the cost table: every figure against what the provider knows to be true."""

from __future__ import annotations

from decimal import Decimal

from step_bench import Bench, last_days

from convergence.costs.report import read_costs

WINDOW = last_days(7)


async def test_usage_is_the_provider_s(bench: Bench) -> None:
    await bench.run("openai.usage", WINDOW)
    truth = bench.truth()["usage"]["completions"]
    (row,) = await bench.rows(
        f"SELECT {', '.join(f'SUM({name}) AS {name}' for name in truth)} FROM openai_usage_daily_raw"
        " WHERE endpoint = 'completions'"
    )
    assert row == truth


async def test_rows_of_all_ten_endpoints_arrive(bench: Bench) -> None:
    await bench.run("openai.usage", WINDOW)
    rows = await bench.rows(
        "SELECT endpoint, usage_date, COUNT(*) AS n FROM openai_usage_daily_raw GROUP BY endpoint, usage_date"
    )
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        found.setdefault(row["endpoint"], {})[row["usage_date"].isoformat()] = row["n"]
    expected = {name: {day: n for day, n in days.items() if n} for name, days in bench.truth()["rows"].items()}
    assert len(found) == 10
    assert {name: days for name, days in found.items() if name != "costs"} == {
        name: days for name, days in expected.items() if name != "costs" and days
    }


async def test_billed_cost_of_every_day_is_the_reported_one(bench: Bench) -> None:
    await bench.run_all(WINDOW)
    rows = await bench.rows("SELECT usage_date, SUM(billed_cost) AS cost FROM openai_cost_daily GROUP BY usage_date")
    found = {row["usage_date"].isoformat(): row["cost"] for row in rows if row["cost"]}
    assert found == {day: cost for day, cost in bench.truth()["cost"]["by_day"].items() if cost}


async def test_cost_by_key_is_the_provider_s(bench: Bench) -> None:
    await bench.run_all(WINDOW)
    rows = await bench.rows(
        "SELECT COALESCE(api_key_id, 'unattributed') AS key, SUM(billed_cost) AS cost FROM openai_cost_daily GROUP BY 1"
    )
    assert {row["key"]: row["cost"] for row in rows} == bench.truth()["cost"]["by_api_key"]


async def test_list_cost_is_usage_at_public_prices(bench: Bench) -> None:
    """Images have no list price: it depends on a quality that the usage report does not tell."""
    await bench.run_all(WINDOW)
    listed = await bench.value("SELECT SUM(list_cost) FROM openai_cost_daily")
    images = await bench.value("SELECT SUM(billed_cost) FROM openai_cost_daily WHERE token_class = 'images'")
    rounding = listed + images - bench.truth()["list_cost"]["total"]
    assert abs(rounding) < Decimal("0.000001")  # half a nano-dollar a row


async def test_only_fees_and_credits_stay_unattributed(bench: Bench) -> None:
    await bench.run_all(WINDOW)
    rows = await bench.rows("SELECT DISTINCT line_item FROM openai_cost_daily WHERE cost_source = 'provider'")
    assert {row["line_item"] for row in rows} == {"promotional credit", "regional processing uplift"}


async def test_residual_is_a_row_without_a_user(bench: Bench) -> None:
    await bench.run_all(WINDOW)
    residual = bench.truth()["residual"]
    found = await bench.value(
        "SELECT SUM(billed_cost) FROM openai_cost_daily WHERE cost_source = 'provider' AND user_id IS NULL"
    )
    assert found == residual["fees"] + residual["credits"]


async def test_a_model_without_a_price_has_no_list_cost_and_a_warning(bench: Bench) -> None:
    for step in ("openai.usage", "openai.reported_cost"):
        await bench.run(step, WINDOW)
    result = await bench.run("openai.cost", WINDOW)
    listed = await bench.rows(
        "SELECT DISTINCT list_unit_price, list_cost FROM openai_cost_daily WHERE model = 'gpt-nightjar-preview'"
    )
    assert listed == [{"list_unit_price": None, "list_cost": None}]
    assert "gpt-nightjar-preview" in result.metadata["unpriced_models"]
    assert any("gpt-nightjar-preview" in warning for warning in result.warnings)


async def test_a_second_run_rewrites_nothing(bench: Bench) -> None:
    await bench.run_all(WINDOW)
    again = [await bench.run(step, WINDOW) for step in ("openai.usage", "openai.reported_cost", "openai.cost")]
    assert [result.metadata["days_unchanged"] for result in again] == [7, 7, 7]


async def test_days_loaded_one_by_one_are_those_loaded_at_once(bench: Bench) -> None:
    await bench.run_all(WINDOW)
    for day in WINDOW.chunks(1):
        for step in ("openai.usage", "openai.reported_cost", "openai.cost"):
            result = await bench.run(step, day, config={"restatement_days": 0})
            assert result.metadata["days_unchanged"] == 1


async def test_restated_days_follow_the_provider(bench: Bench) -> None:
    await bench.run_all(WINDOW)
    before = await bench.value("SELECT SUM(billed_cost) FROM openai_cost_daily")
    bench.world.revise("restate", [WINDOW.last], share=0.5)
    await bench.run_all(WINDOW)
    after = await bench.value("SELECT SUM(billed_cost) FROM openai_cost_daily")
    assert after == bench.truth()["cost"]["total"]
    assert after != before


async def test_teams_and_people_add_up_to_the_total(bench: Bench) -> None:
    await bench.run_all(WINDOW)
    for group in ("person", "team", "model", "api_key", "service", "token_class", "line_item"):
        report = await read_costs(bench.warehouse, bench.org, WINDOW, granularity="total", group_by=[group])
        assert sum(row["billed_cost"] for row in report.rows) == bench.truth()["cost"]["total"]
        assert report.total["billed_cost"] == bench.truth()["cost"]["total"]


async def test_cost_of_a_person_is_the_provider_s(bench: Bench) -> None:
    await bench.run_all(WINDOW)
    report = await read_costs(bench.warehouse, bench.org, WINDOW, granularity="total", group_by=["person"])
    found = {row["person"]: row["billed_cost"] for row in report.rows}
    emails = {person["id"]: person["email"] for person in bench.truth()["directory"]["people"]}
    gone = {user["id"] for user in await bench.rows("SELECT id FROM openai_users WHERE type = 'user'")}
    truth = bench.truth()["cost"]["by_person"]
    known = {emails[user]: cost for user, cost in truth.items() if user in gone and emails.get(user)}
    assert known
    assert {person: found[person] for person in known} == known
