"""Every type, its edges and NULL, there and back."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from convergence.catalog.schemas import Column, TableSchema
from convergence.errors import SchemaMismatch
from convergence.warehouse.arrow import bigquery_type, build_arrow_schema

from .conftest import Bench

D = Decimal
VALUES: list[tuple[str, list[Any]]] = [
    ("STRING", ["", "a'b\"c", "日本 ✓", "a\nb", None]),
    ("BYTES", [b"", b"\x00\xff", None]),
    ("INT64", [0, -(2**63), 2**63 - 1, None]),
    ("FLOAT64", [0.1, -1e308, float("inf"), None]),
    ("BOOL", [True, False, None]),
    ("NUMERIC", [D("0.000000001"), D("-0.000000001"), D("99999999999999999999999999999.999999999"), None]),
    ("BIGNUMERIC", [D("0.000000000000000001"), D("-12345.5"), None]),
    ("DATE", [date(1, 1, 1), date(1970, 1, 1), date(9999, 12, 31), None]),
    ("DATETIME", [datetime(2026, 1, 1, 23, 59, 59, 999999), None]),  # noqa: DTZ001 - DATETIME has no zone
    ("TIMESTAMP", [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 7, 1, 12, 0, 0, 1, tzinfo=UTC), None]),
    ("TIME", [time(0, 0), time(23, 59, 59, 999999), None]),
    ("JSON", ['{"a": [1, 2.50]}', '"text"', "null", None]),
]


@pytest.mark.parametrize(("kind", "values"), VALUES, ids=[kind for kind, _values in VALUES])
async def test_scalar_round_trip(bench: Bench, kind: str, values: list[Any]) -> None:
    schema = TableSchema("t", (Column("n", "INT64"), Column("v", kind)))
    table = await bench.table(schema)
    rows = [{"n": n, "v": value} for n, value in enumerate(values)]

    await bench.load(pa.RecordBatch.from_pylist(rows, schema=build_arrow_schema(schema)), table=table)

    assert [row[0] for row in await bench.rows("SELECT v FROM t ORDER BY n")] == values


@pytest.mark.parametrize("kind", [kind for kind, _values in VALUES])
async def test_result_type(bench: Bench, kind: str) -> None:
    await bench.table(TableSchema("t", (Column("v", kind), Column("vs", kind, "REPEATED"))))

    found = await bench.warehouse.query(_statement(bench, "SELECT v FROM t"))

    assert [bigquery_type(field) for field in found.schema] == [kind]


async def test_nested_round_trip(bench: Bench) -> None:
    credit = Column("credits", "RECORD", "REPEATED", fields=(Column("name", "STRING"), Column("amount", "NUMERIC")))
    project = Column("project", "STRUCT", fields=(Column("id", "STRING"), Column("labels", "STRING", "REPEATED")))
    schema = TableSchema("t", (credit, project))
    table = await bench.table(schema)
    rows = [
        {
            "credits": [{"name": "a", "amount": D("-0.000000001")}, {"name": None, "amount": None}],
            "project": {"id": "p", "labels": ["x", "y"]},
        },
        {"credits": [], "project": {"id": None, "labels": []}},
    ]

    await bench.load(pa.RecordBatch.from_pylist(rows, schema=build_arrow_schema(schema)), table=table)

    found = await bench.warehouse.query(_statement(bench, "SELECT credits, project FROM t"))
    assert found.to_pylist() == rows
    assert [bigquery_type(field) for field in found.schema] == [
        "ARRAY<STRUCT<name STRING, amount NUMERIC>>",
        "STRUCT<id STRING, labels ARRAY<STRING>>",
    ]


async def test_sums_of_nine_places_are_exact(bench: Bench) -> None:
    schema = TableSchema("t", (Column("v", "NUMERIC"),))
    table = await bench.table(schema)
    rows = [{"v": D("0.000000001")}] * 1000 + [{"v": D("12345678901234567890.1")}]

    await bench.load(pa.RecordBatch.from_pylist(rows, schema=build_arrow_schema(schema)), table=table)

    assert await bench.rows("SELECT SUM(v) FROM t") == [(D("12345678901234567890.100001000"),)]


ACCEPTED: list[tuple[str, pa.Array, Any]] = [
    ("INT64", pa.array([7], pa.int8()), 7),
    ("INT64", pa.array([7], pa.uint64()), 7),
    ("NUMERIC", pa.array([7], pa.int64()), D("7.000000000")),
    ("NUMERIC", pa.array([D("1.50")], pa.decimal128(10, 2)), D("1.500000000")),
    ("NUMERIC", pa.array([D("1.500000000000")], pa.decimal128(30, 12)), D("1.500000000")),
    ("FLOAT64", pa.array([1.5], pa.float32()), 1.5),
    ("FLOAT64", pa.array([3], pa.int32()), 3.0),
    ("STRING", pa.array(["a"], pa.large_string()), "a"),
    ("STRING", pa.array(["a"]).dictionary_encode(), "a"),
    ("STRING", pa.nulls(1), None),
    ("DATE", pa.array([date(2026, 1, 2)], pa.date64()), date(2026, 1, 2)),
    ("TIMESTAMP", pa.array([1], pa.timestamp("s", "UTC")), datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
    ("TIMESTAMP", pa.array([0], pa.timestamp("us", "+02:00")), datetime(1970, 1, 1, tzinfo=UTC)),
]


@pytest.mark.parametrize(("kind", "array", "value"), ACCEPTED, ids=[f"{k}-{a.type}" for k, a, _v in ACCEPTED])
async def test_types_that_fit(bench: Bench, kind: str, array: pa.Array, value: Any) -> None:
    table = await bench.table(TableSchema("t", (Column("v", kind),)))

    await bench.load(pa.RecordBatch.from_arrays([array], names=["v"]), table=table)

    assert await bench.rows("SELECT v FROM t") == [(value,)]


LOSSY: list[tuple[str, pa.Array, str]] = [
    ("NUMERIC", pa.array([1.5], pa.float64()), "v is NUMERIC and row 0 brings FLOAT64"),
    ("INT64", pa.array([1.5], pa.float64()), "v is INT64 and row 0 brings FLOAT64"),
    ("INT64", pa.array(["1"]), "v is INT64 and row 0 brings STRING"),
    ("STRING", pa.array([1]), "v is STRING and row 0 brings INT64"),
    ("INT64", pa.array([0, 2**63], pa.uint64()), "row 1 does not fit INT64"),
    ("NUMERIC", pa.array([D(1), D("0.0000000001")], pa.decimal128(38, 10)), "row 1 does not fit NUMERIC"),
    ("NUMERIC", pa.array([D(0), D(10**30)], pa.decimal128(38, 0)), "row 1 does not fit NUMERIC"),
    ("TIMESTAMP", pa.array([0], pa.timestamp("us")), "v is TIMESTAMP and row 0 brings DATETIME"),
    ("TIMESTAMP", pa.array([1], pa.timestamp("ns", "UTC")), "row 0 does not fit TIMESTAMP"),
    ("DATE", pa.array([0], pa.timestamp("us")), "v is DATE and row 0 brings DATETIME"),
    ("BOOL", pa.array([1]), "v is BOOL and row 0 brings INT64"),
]


@pytest.mark.parametrize(("kind", "array", "reason"), LOSSY, ids=[reason for _k, _a, reason in LOSSY])
async def test_types_that_lose(bench: Bench, kind: str, array: pa.Array, reason: str) -> None:
    table = await bench.table(TableSchema("t", (Column("v", kind),)))

    with pytest.raises(SchemaMismatch, match=reason):
        await bench.load(pa.RecordBatch.from_arrays([array], names=["v"]), table=table)

    assert await bench.rows("SELECT COUNT(*) FROM t") == [(0,)]


async def test_an_unknown_field_of_a_struct_is_refused(bench: Bench) -> None:
    table = await bench.table(TableSchema("t", (Column("s", "STRUCT", fields=(Column("a", "INT64"),)),)))

    with pytest.raises(SchemaMismatch, match="column s"):
        await bench.load(pa.RecordBatch.from_pylist([{"s": {"a": 1, "b": 2}}]), table=table)


async def test_missing_fields_of_a_struct_are_null(bench: Bench) -> None:
    fields = (Column("a", "INT64"), Column("b", "STRING"))
    table = await bench.table(TableSchema("t", (Column("s", "STRUCT", fields=fields),)))

    await bench.load(pa.RecordBatch.from_pylist([{"s": {"a": 1}}]), table=table)

    assert await bench.rows("SELECT s.a, s.b FROM t") == [(1, None)]


def _statement(bench: Bench, sql: str) -> Any:
    from convergence.sql import Statement

    return Statement(sql, bench.org.dataset)
