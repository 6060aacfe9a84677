"""Every way in which a billing export is misread, by its name."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from gcp_bench import CONFIGS, GcpBench, billing_row, credit, open_gcp_bench

from convergence.costs.report import read_costs
from convergence.errors import DataQualityError, StepFailed
from convergence.kit.window import Window

COSTS = "SELECT * FROM gcp_cost_daily ORDER BY billed_cost"
BILLED = "SELECT SUM(billed_cost) AS a FROM gcp_cost_daily"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[GcpBench]:
    async with open_gcp_bench(tmp_path) as made:
        yield made


async def test_unnest_fan_out_two_credits_do_not_repeat_the_cost_and_none_does_not_lose_it(bench: GcpBench) -> None:
    await bench.load_rows(
        [
            billing_row(cost=100.0, credits=[credit(-12.0), credit(-3.0, "SUSTAINED_USAGE_DISCOUNT")]),
            billing_row(cost=20.4, credits=[], labels=[{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]),
        ]
    )

    assert await bench.value(BILLED) == Decimal("105.4")
    assert await bench.value("SELECT SUM(gross_cost) AS a FROM gcp_cost_daily") == Decimal("120.4")
    assert await bench.value("SELECT SUM(quantity) AS a FROM gcp_cost_daily") == 7200


async def test_credits_are_negative_and_lower_the_cost(bench: GcpBench) -> None:
    await bench.load_rows(
        [billing_row(cost=12.24, credits=[credit(-8.16), credit(-1.0, "PROMOTION"), credit(-0.08, "RESELLER_MARGIN")])]
    )

    (row,) = await bench.rows(COSTS)

    assert {name: row[f"{name}_cost"] for name in ("gross", "credits", "promotion", "reseller_margin", "billed")} == {
        "gross": Decimal("12.24"),
        "credits": Decimal("-9.24"),
        "promotion": Decimal(-1),
        "reseller_margin": Decimal("-0.08"),
        "billed": Decimal(3),
    }
    assert row["list_cost"] == Decimal("12.5")


async def test_credits_stay_an_array_of_their_row(bench: GcpBench) -> None:
    await bench.load_rows([billing_row(credits=[credit(-2.0), credit(-2.0)])])

    (row,) = await bench.rows("SELECT credits, cost, net_cost FROM gcp_billing_daily_raw")

    assert [entry["amount"] for entry in row["credits"]] == [Decimal(-2), Decimal(-2)]
    assert (row["cost"], row["net_cost"]) == (Decimal(10), Decimal(6))


async def test_the_invoice_month_is_not_the_month_of_usage(bench: GcpBench) -> None:
    """Midnight UTC of the first is still the day before in US Pacific time; a correction is on a later invoice."""
    await bench.load_rows(
        [
            billing_row(usage_start_time="2026-11-01T00:00:00Z", invoice={"month": "202610"}),
            billing_row(
                cost=-2.04, cost_type="adjustment", export_time="2026-11-19T09:00:00Z", invoice={"month": "202612"}
            ),
        ]
    )

    assert await bench.sums(
        "gcp_cost_daily", "CONCAT(CAST(usage_date AS STRING), ' ', invoice_month)", "billed_cost"
    ) == {
        "2026-11-01 202610": Decimal(10),
        "2026-11-17 202612": Decimal("-2.04"),
    }


async def test_rows_without_a_project_are_kept_as_unattributed(bench: GcpBench) -> None:
    nowhere = {"project": None, "location": None, "usage": None, "cost_at_list": None}
    await bench.load_rows(
        [
            billing_row(),
            billing_row(cost=3.05, cost_type="tax", **nowhere),
            billing_row(cost=-0.001, cost_type="rounding_error", **nowhere),
        ]
    )

    window = Window.day(date(2026, 11, 17))
    report = await read_costs(bench.warehouse, bench.org, window, granularity="total", group_by=("project",))

    assert {row["project"]: row["billed_cost"] for row in report.rows} == {
        "platform": Decimal(10),
        None: Decimal("3.049"),
    }


async def test_identical_rows_are_legitimate(bench: GcpBench) -> None:
    await bench.load_rows([billing_row(), billing_row(), billing_row()])

    assert await bench.value(BILLED) == 30
    assert await bench.value("SELECT COUNT(*) AS a FROM gcp_billing_daily_raw") == 3


async def test_a_late_row_rebuilds_the_day_of_its_usage(bench: GcpBench) -> None:
    await bench.load_rows([billing_row()])
    await bench.load_rows([billing_row(cost=1.25, export_time="2026-11-20T02:00:00Z")])

    assert await bench.sums("gcp_cost_daily", "usage_date", "billed_cost") == {"2026-11-17": Decimal("11.25")}
    assert await bench.sums("gcp_billing_daily_raw", "partition_date", "net_cost") == {
        "2026-11-17": Decimal(10),
        "2026-11-20": Decimal("1.25"),
    }


async def test_costs_that_a_crash_left_behind_are_built_by_the_next_run(bench: GcpBench) -> None:
    """The raw rows were published, the cost table was not: nothing changes in the export, and the day is stale."""
    await bench.load_rows([billing_row()])
    await bench.load_rows([billing_row(), billing_row(cost=5.0)])
    await bench.warehouse.drop(bench.org.table("gcp_cost_daily"))

    again = await bench.load_rows([billing_row(), billing_row(cost=5.0)])

    assert again["gcp.billing_file"].metadata["days_unchanged"] == 1
    assert await bench.value(BILLED) == 15


async def test_currencies_are_never_added_up_and_dollars_stand_beside(bench: GcpBench) -> None:
    await bench.load_rows(
        [
            billing_row(
                cost=100.0, currency="INR", currency_conversion_rate=80.0, credits=[credit(-12.0), credit(-3.0)]
            ),
            billing_row(cost=1.5),
        ]
    )

    rows = await bench.rows(COSTS)

    assert [(row["currency"], row["billed_cost"], row["billed_cost_usd"]) for row in rows] == [
        ("USD", Decimal("1.5"), Decimal("1.5")),
        ("INR", Decimal(85), Decimal("1.0625")),
    ]


async def test_an_inverted_conversion_rate_is_reported_and_gives_no_dollars(bench: GcpBench) -> None:
    result = await bench.load_rows([billing_row(cost=100.0, currency="INR", currency_conversion_rate=0.012)])

    (row,) = await bench.rows(COSTS)

    assert (row["billed_cost"], row["currency"], row["billed_cost_usd"]) == (Decimal(100), "INR", None)
    assert result["gcp.cost"].warnings == (
        "0.012 INR for one US dollar cannot be right, the rate may be upside down; amounts in US dollars are left out",
    )


async def test_labels_and_tags_are_objects_and_tell_rows_apart(bench: GcpBench) -> None:
    team = [{"key": "team", "value": "search"}]
    tags = [{"key": "env", "value": "prod", "inherited": True, "namespace": "1234"}]
    await bench.load_rows([billing_row(cost=1.0), billing_row(cost=2.0, labels=team), billing_row(cost=3.0, tags=tags)])

    rows = await bench.rows(COSTS)

    assert [row["labels"] and json.loads(row["labels"]) for row in rows] == [None, {"team": "search"}, None]
    assert [row["tags"] and json.loads(row["tags"]) for row in rows] == [None, None, {"1234/env": "prod"}]


async def test_floats_are_what_they_say_and_rounded_after_the_net_sum(bench: GcpBench) -> None:
    """0.1 + 0.2 is 0.3; two halves of a billionth are one, and a credit takes from what is not yet rounded."""
    await bench.load_rows(
        [
            billing_row(cost=0.1, credits=[credit(0.2)]),
            billing_row(cost=1.4e-9, credits=[credit(-0.9e-9)]),
            billing_row(cost=1.1102230246251565e-16),
        ]
    )

    assert await bench.rows("SELECT net_cost FROM gcp_billing_daily_raw ORDER BY net_cost DESC") == [
        {"net_cost": Decimal("0.300000000")},
        {"net_cost": Decimal("0.000000001")},
        {"net_cost": Decimal("0E-9")},
    ]


async def test_numbers_and_times_as_text_are_the_same_amounts(bench: GcpBench) -> None:
    """As BigQuery's REST API answers: numbers and times are text, times are seconds."""
    row = billing_row(
        cost="5.28E-4",
        currency_conversion_rate="1.0",
        usage_start_time="1.7949060E9",
        usage_end_time="1.7949096E9",
        usage={"amount": "23584.0", "unit": "seconds", "amount_in_pricing_units": "0.0088", "pricing_unit": "month"},
        credits=[{"name": "x", "amount": "-1.28E-4", "type": "PROMOTION"}],
        cost_at_list="5.28E-4",
    )
    await bench.load_rows([row, billing_row()])

    assert await bench.sums("gcp_cost_daily", "usage_date", "billed_cost") == {
        "2026-11-17": Decimal(10) + Decimal("0.0004"),
    }


async def test_bad_rows_are_kept_aside_with_their_reason(bench: GcpBench) -> None:
    await bench.load_rows([billing_row(), billing_row(cost="NaN"), billing_row(credits=[{"amount": "much"}])])

    rejects = await bench.rows("SELECT error_path, raw FROM gcp_billing_daily_raw_rejects ORDER BY error_path")

    assert [row["error_path"] for row in rejects] == ["cost", "credits.amount"]
    assert await bench.value(BILLED) == 10


async def test_too_many_bad_rows_leave_the_old_day(bench: GcpBench) -> None:
    await bench.load_rows([billing_row()])

    with pytest.raises(DataQualityError) as refused:
        await bench.load_rows([billing_row(), *[billing_row(cost="NaN")] * 6])

    assert refused.value.code == "too_many_bad_rows"
    assert await bench.value("SELECT COUNT(*) AS a FROM gcp_billing_daily_raw") == 1


async def test_an_older_export_without_later_columns_is_taken(bench: GcpBench) -> None:
    row = billing_row()
    for name in ("cost_at_list", "cost_type", "location", "currency_conversion_rate"):
        del row[name]
    await bench.load_rows([row])

    (found,) = await bench.rows(COSTS)

    assert (found["billed_cost"], found["list_cost"], found["location"]) == (Decimal(10), None, None)
    assert found["billed_cost_usd"] == 10


async def test_a_table_that_is_no_billing_export_is_refused(bench: GcpBench) -> None:
    with pytest.raises(StepFailed) as refused:
        await bench.load_rows([{"sku": "A", "price": 1.0}])

    assert refused.value.code == "file_unreadable"
    assert "no column cost, currency, usage_start_time" in refused.value.message


async def test_a_flattened_csv_is_the_same_money(bench: GcpBench) -> None:
    path = bench.folder / "export.csv"
    path.write_text(
        "billing_account_id,service.description,sku.id,usage_start_time,project_id,cost,currency,invoice_month,"
        "credits,labels,export_time\n"
        'A,Compute Engine,S1,2026-11-17 10:00:00 UTC,platform,12.24,USD,202611,"[{""amount"": -8.16, ""type"":'
        ' ""PROMOTION""}]","[{""key"": ""team"", ""value"": ""search""}]",2026-11-17 16:00:00 UTC\n'
        "A,Invoice,S2,2026-11-01 08:00:00 UTC,,3.05,USD,202611,,,2026-11-18 09:00:00 UTC\n"
    )
    await bench.load(path)

    rows = await bench.rows(COSTS)

    assert [(row["project_id"], row["service"], row["billed_cost"], row["promotion_cost"]) for row in rows] == [
        (None, "Invoice", Decimal("3.05"), Decimal(0)),
        ("platform", "Compute Engine", Decimal("4.08"), Decimal("-8.16")),
    ]


async def test_money_that_moves_within_a_day_is_noticed_though_its_sum_stays(bench: GcpBench) -> None:
    other = {"project": {"id": "search", "number": None, "name": "Search", "labels": []}}
    await bench.load_rows([billing_row(cost=10.0), billing_row(cost=5.0, **other)])
    await bench.clock.sleep(timedelta(hours=1))

    moved = await bench.load_rows([billing_row(cost=5.0), billing_row(cost=10.0, **other)])

    assert moved["gcp.cost"].metadata["days_replaced"] == 1
    assert await bench.sums("gcp_cost_daily", "project_id", "billed_cost") == {
        "platform": Decimal(5),
        "search": Decimal(10),
    }


async def test_a_day_whose_rows_came_again_is_not_built_for_ever(bench: GcpBench) -> None:
    """A partition that grows brings all of its rows again, those of days that do not change as well."""
    late = billing_row(cost=1.0, usage_start_time="2026-11-12T10:00:00Z")
    await bench.load_rows([billing_row(), late])
    await bench.clock.sleep(timedelta(hours=1))
    await bench.load_rows([billing_row(), late, billing_row()])

    assert await bench.rows((CONFIGS / "gcp/sql/stale_days.sql").read_text()) == []
    assert await bench.value(BILLED) == 21
