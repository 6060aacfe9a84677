"""A page in, columns and rejects out."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence.connectors import FieldSpec, PageLayout, arrow_schema, decode_page
from convergence.connectors.columns import NotUniform, read_columns
from convergence.connectors.pages import parse_json
from convergence.connectors.strict_rows import read_strictly
from convergence.errors import ProviderMisbehaved, ProviderUnavailable
from convergence.kit.money import parse_amount

DAY = 1_767_225_600  # 2026-01-01
COSTS = PageLayout(
    bucket_fields=(FieldSpec("start_time", type="TIMESTAMP", required=True),),
    result_fields=(
        FieldSpec("amount", "amount.value", "NUMERIC", required=True),
        FieldSpec("currency", "amount.currency"),
        FieldSpec("line_item"),
    ),
)
USAGE = PageLayout(
    bucket_fields=(FieldSpec("start_time", type="TIMESTAMP", required=True),),
    result_fields=(
        FieldSpec("input_tokens", type="INT64", required=True, non_negative=True),
        FieldSpec("model"),
        FieldSpec("batch", type="BOOL"),
    ),
)
USERS = PageLayout(
    rows=("data[]",),
    result_fields=(FieldSpec("id", required=True), FieldSpec("added_at", type="TIMESTAMP"), FieldSpec("email")),
    envelope=("has_more",),
)


def costs(*values: str) -> bytes:
    """A page whose amounts are these texts, as they stand in the JSON."""
    results = ",".join(f'{{"amount":{{"value":{value},"currency":"usd"}},"line_item":"x"}}' for value in values)
    return f'{{"data":[{{"start_time":{DAY},"results":[{results}]}}],"has_more":false,"next_page":null}}'.encode()


def usage(*results: Any, start: Any = DAY, **members: Any) -> bytes:
    bucket = {"object": "bucket", "start_time": start, "results": list(results)}
    return json.dumps({"object": "page", "data": [bucket], "has_more": False, "next_page": None, **members}).encode()


def good(**fields: Any) -> dict[str, Any]:
    return {"object": "r", "input_tokens": 5, "model": "m", "batch": False, **fields}


def is_fast(body: bytes, layout: PageLayout) -> bool:
    try:
        read_columns(body, layout)
    except NotUniform:
        return False
    return True


def test_fields_of_a_bucket_are_spread_over_its_results():
    page = {
        "data": [
            {"start_time": DAY, "results": [good(model="a"), good(model="b")]},
            {"start_time": DAY + 86_400, "results": []},
            {"start_time": DAY + 172_800, "results": [good(model="c")]},
        ],
        "has_more": True,
        "next_page": "p2",
    }
    got = decode_page(json.dumps(page).encode(), USAGE)
    assert got.rows.to_pylist() == [
        {"start_time": datetime(2026, 1, day, tzinfo=UTC), "input_tokens": 5, "model": model, "batch": False}
        for day, model in [(1, "a"), (1, "b"), (3, "c")]
    ]
    assert (got.envelope, got.rejects) == ({"has_more": True, "next_page": "p2"}, [])


def test_columns_have_the_types_of_the_warehouse():
    assert arrow_schema(COSTS) == pa.schema(
        [
            ("start_time", pa.timestamp("us", tz="UTC")),
            ("amount", pa.decimal128(38, 9)),
            ("currency", pa.string()),
            ("line_item", pa.string()),
        ]
    )


@pytest.mark.parametrize("body", [usage(), b'{"data": []}', b"[]", b' {\n"data" : [ ]\n} '])
def test_a_page_without_rows_is_an_empty_batch_of_the_same_types(body):
    got = decode_page(body, USAGE)
    assert (got.rows.num_rows, got.rows.schema, got.rejects) == (0, arrow_schema(USAGE), [])


def test_a_list_without_buckets_is_read():
    body = b'{"data": [{"id": "u1", "added_at": 1767225600}, {"id": "u2", "email": null}], "has_more": false}'
    got = decode_page(body, USERS)
    assert got.rows.column("id").to_pylist() == ["u1", "u2"]
    assert got.rows.column("added_at").to_pylist() == [datetime(2026, 1, 1, tzinfo=UTC), None]


def test_a_bare_array_is_read_as_the_list():
    assert decode_page(b' [{"id": "u1"}]', USERS).rows.column("id").to_pylist() == ["u1"]


EXACT = [
    ("0.06", "0.06"),
    ('"2.25"', "2.25"),
    ("-5", "-5"),
    ("1e-7", "0.0000001"),
    ("1E2", "100"),
    ("0.123456789012345678", "0.123456789"),
    ("0.1234567885", "0.123456789"),
    ("0.1234567895", "0.123456790"),
    ("-0.1234567895", "-0.123456790"),
    ("0.0000000004999999999999999999999", "0"),
    ("0.0031980000000000003", "0.003198"),
    ("123456789012345678.123456789", "123456789012345678.123456789"),
    ("99999999999999999999999999999", "99999999999999999999999999999"),
]


@pytest.mark.parametrize(("text", "amount"), EXACT)
def test_an_amount_is_exact_and_takes_the_fast_way(text, amount):
    body = costs(text)
    assert decode_page(body, COSTS).rows.column("amount").to_pylist() == [Decimal(amount)]
    assert is_fast(body, COSTS)


@pytest.mark.parametrize(("text", "amount"), [*EXACT, ("1e-50", "0"), ("12345.6789e-3", "12.3456789")])
def test_an_amount_is_the_same_on_the_strict_way(text, amount):
    rows = read_strictly(parse_json(costs(text, "NaN")), COSTS).rows
    assert rows.column("amount").to_pylist() == [Decimal(amount)]


@pytest.mark.parametrize(
    "text",
    [
        *("NaN", "Infinity", "-Infinity", '"NaN"', '"inf"', "1e29", "1e400", "9" * 5_000, "true", "null", "[]", "{}"),
        *('""', '" 1"', '"1_0"', '"0x10"', '"1,5"', '"\\u0661"'),
    ],
)
def test_a_bad_amount_costs_its_row_and_not_the_page(text):
    got = decode_page(costs("1.5", text, "2"), COSTS)
    assert got.rows.column("amount").to_pylist() == [Decimal("1.5"), Decimal(2)]
    assert [reject.error_path for reject in got.rejects] == ["data[0].results[1].amount.value"]


@pytest.mark.parametrize(
    ("fields", "place", "reason"),
    [
        ({"input_tokens": "12"}, "input_tokens", "expected a whole number, got a string"),
        ({"input_tokens": True}, "input_tokens", "expected a whole number, got a boolean"),
        ({"input_tokens": 1.5}, "input_tokens", "expected a whole number, got a number"),
        ({"input_tokens": 2**63}, "input_tokens", "out of the range of INT64"),
        ({"input_tokens": -1}, "input_tokens", "negative"),
        ({"input_tokens": None}, "input_tokens", "required and null"),
        ({"model": 7}, "model", "expected a string, got a number"),
        ({"model": ["m"]}, "model", "expected a string, got a list"),
        ({"model": "a\x00b"}, "model", "a string with a NUL or half a surrogate pair"),
        ({"model": "\ud800"}, "model", "a string with a NUL or half a surrogate pair"),
        ({"model": "m" * 70_000}, "model", "a string longer than 65536 bytes"),
        ({"batch": 1}, "batch", "expected true or false, got a number"),
        ({"batch": "true"}, "batch", "expected true or false, got a string"),
    ],
)
def test_a_bad_field_is_named_with_its_reason(fields, place, reason):
    got = decode_page(usage(good(model="kept"), good(**fields)), USAGE)
    assert got.rows.column("model").to_pylist() == ["kept"]
    assert [(one.error_path, one.reason) for one in got.rejects] == [(f"data[0].results[1].{place}", reason)]


def test_a_reject_knows_its_day_and_keeps_its_values():
    reject = decode_page(costs('"x"'), COSTS).rejects[0]
    assert reject.bucket == {"start_time": datetime(2026, 1, 1, tzinfo=UTC)}
    assert json.loads(reject.raw_json) == {"amount": {"value": "x", "currency": "usd"}, "line_item": "x"}


def test_a_reject_keeps_the_digits_and_hides_credentials():
    body = costs("0.1000").replace(b'"line_item":"x"', b'"line_item":7,"api_key":"sk-CANARY-0123456789"')
    reject = decode_page(body, COSTS).rejects[0]
    assert '"value":0.1000' in reject.raw_json
    assert "CANARY" not in reject.raw_json


@pytest.mark.parametrize("row", [None, 3, "text", ["list"]])
def test_a_result_that_is_no_object_is_a_reject(row):
    got = decode_page(usage(good(), row), USAGE)
    assert (got.rows.num_rows, [one.error_path for one in got.rejects]) == (1, ["data[0].results[1]"])


@pytest.mark.parametrize("start", ["2026-01-01", None, True, -1, 10**12, 1.5])
def test_a_bucket_without_a_day_takes_every_result_with_it(start):
    got = decode_page(usage(good(), good(), start=start), USAGE)
    assert (got.rows.num_rows, len(got.rejects)) == (0, 2)
    assert {(one.error_path, len(one.bucket)) for one in got.rejects} == {("data[0].start_time", 0)}


@pytest.mark.parametrize("results", [None, {}, "none"])
def test_results_that_are_no_list_are_one_reject(results):
    body = json.dumps({"data": [{"start_time": DAY, "results": results}]}).encode()
    got = decode_page(body, USAGE)
    assert [one.error_path for one in got.rejects] == ["data[0].results"]


@pytest.mark.parametrize("bad", [False, True])
def test_new_members_are_reported_and_do_no_harm(bad):
    rows = [good(organization_id="o"), good(organization_id=7, extra={"deep": [1]})]
    got = decode_page(usage(*rows, *([good(batch=1)] if bad else []), added=1), USAGE)
    assert got.rows.num_rows == 2
    assert got.unknown_fields >= {"organization_id", "extra", "added"}


def test_a_plain_page_reports_only_what_is_new():
    assert decode_page(usage(good(fresh=1)), USAGE).unknown_fields == {"fresh"}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", usage(good())[:-9], b"<html>", b'{"data": []} x', b'{"data": []}{"data": []}', b"\xff\xfe"],
)
def test_a_page_that_is_cut_short_may_come_whole_later(body):
    with pytest.raises(ProviderUnavailable) as caught:
        decode_page(body, USAGE)
    assert caught.value.code == "page_not_json"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"3", "page_not_object"),
        (b'"text"', "page_not_object"),
        (b"null", "page_not_object"),
        (b"{}", "page_without_rows"),
        (b'{"data": {}}', "page_without_rows"),
        (b'{"data": null}', "page_without_rows"),
        (b'{"error": {"message": "m"}}', "page_without_rows"),
        (b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "page_nested_too_deeply"),
    ],
)
def test_json_that_is_no_such_page_is_a_fault_of_the_provider(body, code):
    with pytest.raises(ProviderMisbehaved) as caught:
        decode_page(body, USAGE)
    assert caught.value.code == code


def test_times_are_read_in_each_form():
    layout = PageLayout(
        rows=("items[]",),
        result_fields=(
            FieldSpec("a", type="TIMESTAMP", time_format="rfc3339"),
            FieldSpec("b", type="TIMESTAMP", time_format="unix_ms"),
            FieldSpec("c", type="DATE"),
        ),
    )
    row = {"a": "2026-01-01T02:00:00+02:00", "b": DAY * 1_000 + 5, "c": "2026-01-31"}
    body = json.dumps({"items": [row]}).encode()
    assert is_fast(body, layout)
    expected = {
        "a": datetime(2026, 1, 1, tzinfo=UTC),
        "b": datetime(2026, 1, 1, 0, 0, 0, 5_000, tzinfo=UTC),
        "c": date(2026, 1, 31),
    }
    assert decode_page(body, layout).rows.to_pylist() == [expected]
    assert read_strictly(parse_json(body), layout).rows.to_pylist() == [expected]


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", 5])
def test_a_time_that_is_none_is_a_reject(text):
    layout = PageLayout(rows=("data[]",), result_fields=(FieldSpec("at", type="TIMESTAMP", time_format="rfc3339"),))
    got = decode_page(json.dumps({"data": [{"at": text}]}).encode(), layout)
    assert [one.error_path for one in got.rejects] == ["data[0].at"]


@pytest.mark.parametrize(
    ("rows", "bucket"), [(("data",), ()), ((), ()), (("a[]", "b[]", "c[]"), ()), (("data[]",), (FieldSpec("x"),))]
)
def test_a_layout_that_means_nothing_is_refused(rows, bucket):
    with pytest.raises(ValueError, match=r"rows names|need two lists"):
        PageLayout(rows=rows, bucket_fields=bucket, result_fields=(FieldSpec("a"),))


def test_a_column_named_twice_is_refused():
    with pytest.raises(ValueError, match="named twice"):
        PageLayout(result_fields=(FieldSpec("a"), FieldSpec("a", "b")))


@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=20)))
def test_every_amount_is_what_money_says_it_is(amounts):
    body = costs(*(format(amount, "f") for amount in amounts))
    assert decode_page(body, COSTS).rows.column("amount").to_pylist() == [parse_amount(one) for one in amounts]


TEXT = st.text("ab\u00e9\x00", max_size=3)
ROWS = st.fixed_dictionaries(
    {},
    optional={
        "input_tokens": st.none() | st.integers(-2, 2**64) | TEXT | st.booleans(),
        "model": st.none() | TEXT | st.integers(),
        "batch": st.none() | st.booleans() | st.integers(0, 1),
        "new": st.none() | TEXT | st.integers() | st.lists(st.integers(), max_size=2),
    },
)


@given(st.lists(ROWS, max_size=6))
def test_both_ways_agree_and_no_row_is_lost(rows):
    body = usage(*rows)
    got, strict = decode_page(body, USAGE), read_strictly(parse_json(body), USAGE)
    assert got.rows.to_pylist() == strict.rows.to_pylist()
    assert got.rejects == strict.rejects
    assert got.rows.num_rows + len(got.rejects) == len(rows)


EVENTS = PageLayout(
    rows=("events[]",),
    result_fields=(
        FieldSpec("timestamp", type="TIMESTAMP", required=True, time_format="unix_ms_text"),
        FieldSpec("user_id", from_number=True),
    ),
)
MOMENT = datetime(2025, 6, 26, 23, 7, 5, 854_000, tzinfo=UTC)


def events(*members: str) -> bytes:
    return f'{{"events":[{",".join(members)}]}}'.encode()


def test_milliseconds_in_a_string_are_a_time_on_both_ways():
    body = events('{"timestamp":"1750979225854","user_id":"u"}')
    assert is_fast(body, EVENTS)
    assert decode_page(body, EVENTS).rows.to_pylist() == [{"timestamp": MOMENT, "user_id": "u"}]
    assert read_strictly(parse_json(body), EVENTS).rows.to_pylist() == [{"timestamp": MOMENT, "user_id": "u"}]


def test_an_id_that_is_a_number_is_its_digits():
    body = events('{"timestamp":"1750979225854","user_id":12345}', '{"timestamp":"1750979225854","user_id":"u"}')
    got = decode_page(body, EVENTS)
    assert (got.rows["user_id"].to_pylist(), got.rejects) == (["12345", "u"], [])


@pytest.mark.parametrize("text", ['"soon"', '"1750979225.854"', '"-1"', '""', '"' + "9" * 30 + '"', "true", "{}"])
def test_what_is_no_time_in_a_string_is_a_bad_row(text):
    got = decode_page(events(f'{{"timestamp":{text}}}', '{"timestamp":"1750979225854"}'), EVENTS)
    assert (got.rows.num_rows, [reject.error_path for reject in got.rejects]) == (1, ["events[0].timestamp"])
