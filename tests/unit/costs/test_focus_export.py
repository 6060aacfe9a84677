from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from convergence.costs.focus.build import cut_days
from convergence.costs.focus.export import write_csv
from convergence.kit.window import Window

FIRST, NEXT, LATER = date(2026, 11, 1), date(2026, 11, 2), date(2026, 11, 9)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (pa.scalar(Decimal(1234567), pa.decimal128(38, 9)), "1234567.0"),
        (pa.scalar(Decimal("0.000000001"), pa.decimal128(38, 9)), "0.000000001"),
        (pa.scalar(Decimal("-0.5"), pa.decimal128(38, 9)), "-0.5"),
        (pa.scalar(Decimal(0), pa.decimal128(38, 9)), "0.0"),
        (pa.scalar(datetime(2026, 11, 1, tzinfo=UTC), pa.timestamp("us", tz="UTC")), "2026-11-01T00:00:00Z"),
        (pa.scalar(FIRST), "2026-11-01"),
        (pa.scalar(True), "true"),
        (pa.scalar('{"a":"b"}'), '"{""a"":""b""}"'),
        (pa.scalar(None, pa.string()), '""'),
    ],
)
def test_values_are_written_as_focus_wants_them(value: pa.Scalar, text: str) -> None:
    rows = pa.table({"A": pa.array([value.as_py()], value.type)})

    assert write_csv(rows, with_header=True).decode() == f"A\r\n{text}\r\n"


def test_only_the_first_piece_has_a_header() -> None:
    assert write_csv(pa.table({"A": ["x"], "B": [None]}), with_header=False) == b"x,\r\n"


@pytest.mark.parametrize(
    ("rows", "windows"),
    [
        ({}, []),
        ({NEXT: 1, FIRST: 1}, [Window(FIRST, date(2026, 11, 3))]),
        ({FIRST: 6, NEXT: 5}, [Window.day(FIRST), Window.day(NEXT)]),
        ({FIRST: 99, LATER: 1}, [Window.day(FIRST), Window.day(LATER)]),
    ],
)
def test_days_are_cut_where_there_is_a_gap_or_too_much(rows: dict[date, int], windows: list[Window]) -> None:
    assert cut_days(rows, 10) == windows
