from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from convergence.kit import jsontext
from convergence.simulator.openai.streams import STREAMS

ALL_GROUPS = {name: [("group_by", group) for group in stream.group_by] for name, stream in STREAMS.items()}
COST_GROUPS = [("group_by", name) for name in ("project_id", "api_key_id", "line_item")]


def amount(row: dict[str, Any]) -> Decimal:
    return Decimal(row["amount"]["value"])


@pytest.mark.parametrize("name", STREAMS)
def test_rows_and_sums_of_every_usage_endpoint_equal_the_truth(api: Any, name: str) -> None:
    truth = api.simulator.truth()

    rows = api.rows(f"usage/{name}", ALL_GROUPS[name])

    assert len(rows) == sum(truth["rows"][name].values())
    assert {field: sum(row[field] for row in rows) for field in STREAMS[name].fields} == truth["usage"][name]


@pytest.mark.parametrize("limit", [*range(1, 31), 31])
def test_every_page_size_gives_the_same_buckets(api: Any, limit: int) -> None:
    whole = api.buckets("usage/completions", [("limit", 31), ("group_by", "model")])

    assert api.buckets("usage/completions", [("limit", limit), ("group_by", "model")]) == whole
    assert len(whole) == 30


@pytest.mark.parametrize("limit", [1, 7, 29, 30, 180])
def test_costs_of_every_page_size_equal_the_truth(api: Any, limit: int) -> None:
    truth = api.simulator.truth()

    rows = api.rows("costs", [*COST_GROUPS, ("limit", limit)])

    assert len(rows) == sum(truth["rows"]["costs"].values())
    assert sum(amount(row) for row in rows) == truth["cost"]["total"]


@pytest.mark.parametrize(
    ("field", "breakdown"), [("project_id", "by_project"), ("line_item", "by_line_item"), ("api_key_id", "by_api_key")]
)
def test_costs_by_one_dimension_equal_the_truth(api: Any, field: str, breakdown: str) -> None:
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)

    for row in api.rows("costs", [("group_by", field)]):
        sums[row[field] or "unattributed"] += amount(row)

    assert sums == api.simulator.truth()["cost"][breakdown]


def test_costs_by_day_equal_the_truth(api: Any) -> None:
    sums = {
        datetime.fromtimestamp(bucket["start_time"], UTC).date().isoformat(): sum(
            (amount(row) for row in bucket["results"]), Decimal(0)
        )
        for bucket in api.buckets("costs")
        if bucket["results"]
    }

    assert sums == api.simulator.truth()["cost"]["by_day"]


def test_ungrouped_rows_are_one_a_day_with_null_dimensions(api: Any) -> None:
    rows = api.rows("usage/completions")

    assert len(rows) == 28
    assert {row[name] for row in rows for name in STREAMS["completions"].group_by} == {None}


def test_dimensions_not_grouped_by_are_null(api: Any) -> None:
    row = api.rows("usage/completions", [("group_by", "model"), ("group_by", "batch")])[0]

    assert isinstance(row["batch"], bool)
    assert row["model"]
    assert row["project_id"] is row["service_tier"] is row["user_id"] is row["api_key_id"] is None


def test_both_spellings_of_arrays_are_one_grouping(api: Any) -> None:
    plain = api.rows("usage/completions", [("group_by", "model"), ("group_by", "project_id")])

    assert api.rows("usage/completions", [("group_by[]", "model"), ("group_by[]", "project_id")]) == plain


def test_hours_of_a_day_sum_to_the_day(api: Any) -> None:
    hours = [("bucket_width", "1h"), ("limit", 168), ("group_by", "model")]
    by_hour = [row["output_tokens"] for row in api.rows("usage/completions", hours)]
    by_day = [row["output_tokens"] for row in api.rows("usage/completions", [("group_by", "model")])]

    assert sum(by_hour) == sum(by_day) == api.simulator.truth()["usage"]["completions"]["output_tokens"]
    assert len(by_hour) > 10 * len(by_day)


def test_token_classes_add_up_in_every_row(api: Any) -> None:
    rows = api.rows("usage/completions", [*ALL_GROUPS["completions"], ("bucket_width", "1h"), ("limit", 168)])

    for row in rows:
        parts = ("input_uncached_tokens", "input_cached_tokens", "input_cache_write_tokens")
        assert row["input_tokens"] == sum(row[part] for part in parts)
        assert row["output_tokens"] == row["output_text_tokens"] + row["output_audio_tokens"]
    assert any(row["input_cache_write_tokens"] for row in rows)
    assert any(row["input_audio_tokens"] for row in rows)


def test_empty_days_are_buckets_without_results(api: Any) -> None:
    empty = [bucket for bucket in api.buckets("usage/completions") if not bucket["results"]]

    assert len(empty) == 2


def test_a_level_is_the_same_at_any_hour(api: Any) -> None:
    levels = api.rows("usage/vector_stores", [("bucket_width", "1h"), ("limit", 24), ("group_by", "project_id")])
    by_project: defaultdict[str, set[int]] = defaultdict(set)
    for row in levels[:24]:
        by_project[row["project_id"]].add(row["usage_bytes"])

    assert {len(values) for values in by_project.values()} == {1}


def test_the_first_bucket_starts_where_asked(api: Any) -> None:
    asked = {"start_time": api.start + 3_600, "end_time": api.start + 2 * 86_400}

    buckets = jsontext.loads(api.get("usage/completions", asked).content)["data"]

    assert [(bucket["start_time"], bucket["end_time"]) for bucket in buckets] == [
        (api.start + 3_600, api.start + 86_400),
        (api.start + 86_400, api.start + 2 * 86_400),
    ]


def test_the_current_day_ends_now_and_grows(api: Any, clock: Any) -> None:
    clock.advance(timedelta(days=-1))
    asked = {"start_time": api.end - 86_400}

    noon = jsontext.loads(api.get("usage/completions", asked).content)["data"]
    clock.advance(timedelta(hours=6))
    evening = jsontext.loads(api.get("usage/completions", asked).content)["data"]

    assert [bucket["end_time"] for bucket in (*noon, *evening)] == [api.end - 43_200, api.end - 21_600]
    assert noon[0]["results"][0]["output_tokens"] < evening[0]["results"][0]["output_tokens"]


def test_a_report_keeps_its_end_while_it_is_paged(api: Any, clock: Any) -> None:
    clock.advance(timedelta(days=-1))
    asked = {"start_time": api.start, "limit": 29}
    first = jsontext.loads(api.get("usage/completions", asked).content)
    clock.advance(timedelta(hours=6))

    last = jsontext.loads(api.get("usage/completions", {**asked, "page": first["next_page"]}).content)

    assert last["data"][-1]["end_time"] == api.end - 43_200


@pytest.mark.parametrize(
    ("name", "parameter", "field"),
    [
        ("usage/completions", "models", "model"),
        ("usage/completions", "project_ids", "project_id"),
        ("usage/completions", "api_key_ids", "api_key_id"),
        ("usage/completions", "user_ids", "user_id"),
        ("usage/completions", "batch", "batch"),
        ("usage/images", "sizes", "size"),
        ("usage/images", "sources", "source"),
        ("usage/file_search_calls", "vector_store_ids", "vector_store_id"),
        ("usage/web_search_calls", "context_levels", "context_level"),
        ("costs", "project_ids", "project_id"),
        ("costs", "api_key_ids", "api_key_id"),
    ],
)
def test_a_filter_leaves_out_the_other_values(api: Any, name: str, parameter: str, field: str) -> None:
    every = api.rows(name, [("group_by", field)])
    wanted = next(row[field] for row in every if row[field] is not None)
    text = str(wanted).lower() if isinstance(wanted, bool) else wanted

    filtered = api.rows(name, [("group_by", field), (parameter, text)])

    assert filtered
    assert len(filtered) < len(every)
    assert {row[field] for row in filtered} == {wanted}


def test_some_amounts_are_text_and_one_is_negative(api: Any) -> None:
    values = [row["amount"]["value"] for row in api.rows("costs", COST_GROUPS)]

    assert {type(value) for value in values} >= {str, Decimal}
    assert min(Decimal(value) for value in values) < 0


def test_quantity_is_only_told_by_line_item(api: Any) -> None:
    by_item = [row for row in api.rows("costs", [("group_by", "line_item")]) if row["quantity_unit"] == "tokens"]

    assert by_item
    assert all(row["quantity"] > 0 for row in by_item)
    assert {row["quantity"] for row in api.rows("costs", [("group_by", "project_id")])} == {None}


def test_rows_carry_a_key_that_no_page_documents(api: Any) -> None:
    organization = api.simulator.truth()["directory"]["organization_id"]

    assert {row["organization_id"] for row in api.rows("costs")} == {organization}


def test_days_outside_the_world_are_empty(api: Any) -> None:
    asked = {"start_time": api.start - 7 * 86_400, "end_time": api.start}

    buckets = jsontext.loads(api.get("costs", asked).content)["data"]

    assert [bucket["results"] for bucket in buckets] == [[]] * 7
