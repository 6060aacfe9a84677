"""Rows of a page in the columns of a table, by what the table's schema and the step say."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from convergence.catalog.tables import parse_table_schema
from convergence.connectors import decode_page
from convergence.kit.window import Window
from convergence.processors.rest._columns import ColumnKeys, RowMapping, build_mapping

_FIELDS = [
    ("usage_date", "DATE", "REQUIRED"),
    ("account", "STRING", "NULLABLE"),
    ("requests", "INT64", "NULLABLE"),
    ("seen_at", "TIMESTAMP", "NULLABLE"),
    ("is_batch", "BOOL", "NULLABLE"),
    ("cost", "NUMERIC", "NULLABLE"),
    ("currency", "STRING", "NULLABLE"),
    ("ingestion_date", "DATE", "REQUIRED"),
    ("ingestion_timestamp", "TIMESTAMP", "REQUIRED"),
    ("pipeline_logging_id", "STRING", "REQUIRED"),
]
SCHEMA = parse_table_schema(
    json.dumps(
        {
            "schema": {"fields": [{"name": name, "type": kind, "mode": mode} for name, kind, mode in _FIELDS]},
            "timePartitioning": {"type": "DAY", "field": "usage_date"},
        }
    ),
    "t.json",
    "t",
)
WINDOW = Window.inclusive(date(2026, 11, 1), date(2026, 11, 3))


def mapping(*data_path: str, **columns: Any) -> RowMapping:
    keys = {name: ColumnKeys.model_validate(given) for name, given in columns.items()}
    return build_mapping(keys, data_path or ("data",), SCHEMA)


def read(made: RowMapping, page: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = made.fit(decode_page(json.dumps(page).encode(), made.layout).rows).to_pylist()
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


@pytest.mark.parametrize(
    ("keys", "written"),
    [
        ("day", "2026-11-02"),
        ({"field": "day", "format": "date"}, "2026-11-02"),
        ({"field": "day", "format": "unix_s"}, 1793664000 - 1),
        ({"field": "day", "format": "unix_ms"}, 1793577600000),
        ({"field": "day", "format": "unix_ms_text"}, "1793577600000"),
        ({"field": "day", "format": "rfc3339"}, "2026-11-03T01:30:00+02:00"),
    ],
)
def test_a_day_is_the_utc_day_of_what_is_written(keys: Any, written: Any) -> None:
    assert read(mapping(usage_date=keys), {"data": [{"day": written}]}) == [{"usage_date": date(2026, 11, 2)}]


@pytest.mark.parametrize(("unit", "cost"), [("whole", "1234.5"), ("cents", "12.345"), ("micro", "0.0012345")])
def test_an_amount_is_converted_once_and_exactly(unit: str, cost: str) -> None:
    made = mapping(usage_date="day", cost={"field": "c.v", "unit": unit})
    page = {"data": [{"day": "2026-11-01", "c": {"v": 1234.5}}, {"day": "2026-11-01", "c": {"v": "1234.5"}}]}
    assert [row["cost"] for row in read(made, page)] == [Decimal(cost)] * 2


def test_types_are_the_table_s_and_ids_may_be_numbers() -> None:
    made = mapping(
        usage_date="d", account="id", requests="n", seen_at={"field": "at", "format": "unix_s"}, is_batch="b"
    )
    page = {"data": [{"d": "2026-11-01", "id": 77, "n": 5, "at": 0, "b": False}, {"d": "2026-11-01", "id": "x"}]}
    first = {"account": "77", "requests": 5, "seen_at": datetime(1970, 1, 1, tzinfo=UTC), "is_batch": False}
    assert read(made, page) == [
        {"usage_date": date(2026, 11, 1), **first},
        {"usage_date": date(2026, 11, 1), "account": "x"},
    ]


def test_a_value_is_the_same_in_all_rows() -> None:
    made = mapping(usage_date="d", currency={"value": "EUR"}, cost={"value": Decimal("0.1")}, requests={"value": 1})
    row = {"usage_date": date(2026, 11, 1), "currency": "EUR", "cost": Decimal("0.1"), "requests": 1}
    assert read(made, {"data": [{"d": "2026-11-01"}] * 2}) == [row, row]


def test_rows_lie_in_buckets_or_inside_objects() -> None:
    nested = mapping("report.days", "items", usage_date={"bucket_field": "day"}, requests="n")
    page = {
        "report": {"days": [{"day": "2026-11-01", "items": [{"n": 1}, {"n": 2}]}, {"day": "2026-11-02", "items": []}]}
    }
    assert read(nested, page) == [{"usage_date": date(2026, 11, 1), "requests": number} for number in (1, 2)]
    flat = mapping(usage_date="day")
    assert read(flat, [{"day": "2026-11-01"}]) == [{"usage_date": date(2026, 11, 1)}]


@pytest.mark.parametrize(
    ("row", "day"),
    [
        ({"day": "2026-11-02", "n": "many"}, date(2026, 11, 2)),
        ({"day": "2026-12-02", "n": "many"}, WINDOW.start),
        ({"day": "soon", "n": 1}, WINDOW.start),
        ("no row at all", WINDOW.start),
    ],
)
def test_a_refused_row_keeps_its_day_as_far_as_it_tells(row: Any, day: date) -> None:
    made = mapping(usage_date="day", requests="n")
    [refused] = decode_page(json.dumps({"data": [row]}).encode(), made.layout).rejects
    assert made.reject(refused, WINDOW).day == day
