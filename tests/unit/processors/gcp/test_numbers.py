"""Floats and texts as exact decimals."""

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence.kit.money import parse_amount
from convergence.processors.gcp._columns import fit_column, parse_times
from convergence.processors.gcp._numbers import parse_numbers, round_numbers, sum_by_row


@given(st.lists(st.floats(min_value=-1e15, max_value=1e15), max_size=20))
def test_a_float_is_its_shortest_text(values: list[float]) -> None:
    found = round_numbers(parse_numbers(pa.array(values, pa.float64()))).to_pylist()

    assert found == [parse_amount(repr(value)) for value in values]


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("5.28E-4", "0.000528"),
        (" 12.24 ", "12.24"),
        ("-.5", "-0.5"),
        ("1e3", "1000"),
        ("0." + "1" * 60, "0.111111111"),
        ("1e-400", "0"),
        ("NaN", None),
        ("inf", None),
        ("1e29", None),
        ("12,24", None),
        ("", None),
    ],
)
def test_text_is_a_number_or_nothing(text: str, amount: str | None) -> None:
    (found,) = round_numbers(parse_numbers(pa.array([text]))).to_pylist()

    assert found == (None if amount is None else Decimal(amount))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-(10**12), 10**12)), max_size=30))
def test_sums_by_row_lose_nothing(entries: list[tuple[int, int]]) -> None:
    amounts = parse_numbers(pa.array([Decimal(nano).scaleb(-9) for _, nano in entries], pa.decimal128(38, 9)))
    sums = sum_by_row(amounts, pa.array([row for row, _ in entries], pa.int64()), 5).to_pylist()

    assert sums == [Decimal(sum(nano for row, nano in entries if row == place)).scaleb(-9) for place in range(5)]


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-17T10:00:00Z",
        "2026-11-17 10:00:00 UTC",
        "2026-11-17T10:00:00",
        "2026-11-17 12:00:00+02:00",
        "1.7949096E9",
    ],
)
def test_a_time_is_read_in_every_spelling(text: str) -> None:
    (found,) = parse_times(pa.array([text])).to_pylist()

    assert f"{found:%Y-%m-%d %H:%M:%S}" == "2026-11-17 10:00:00"


def test_a_time_that_is_none_is_nothing() -> None:
    assert parse_times(pa.array(["yesterday", None])).to_pylist() == [None, None]


def test_what_a_record_lacks_is_null_and_what_nothing_takes_is_left_out() -> None:
    target = pa.struct([("id", pa.string()), ("labels", pa.list_(pa.struct([("key", pa.string())])))])

    found = fit_column(pa.array([{"id": "a", "new": 1}, None]), target)

    assert found.to_pylist() == [{"id": "a", "labels": []}, None]
