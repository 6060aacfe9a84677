from __future__ import annotations

import csv
import io
import json
import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from convergence.api.results import Result, write_arrow, write_csv, write_json, write_parquet
from convergence.errors import QueryRejected

NUMERIC = pa.decimal128(38, 9)
MOMENT = datetime(2026, 11, 20, 13, 5, 7, 123456, tzinfo=UTC)


def _result(values: list[Any], kind: pa.DataType, **arguments: Any) -> Result:
    table = pa.table({"value": pa.array(values, type=kind)})
    return Result.of(table, **{"max_rows": 1000, "duration_ms": 3, **arguments})


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([Decimal("0.000000001"), Decimal(0), None], NUMERIC, ["0.000000001", "0", None]),
        ([Decimal("99999999999999999999999999999.999999999")], NUMERIC, ["99999999999999999999999999999.999999999"]),
        ([Decimal("-1.500000000")], NUMERIC, ["-1.5"]),
        ([2**63 - 1, -(2**63)], pa.int64(), [2**63 - 1, -(2**63)]),
        ([0.5, math.nan, math.inf, -math.inf], pa.float64(), [0.5, "NaN", "Infinity", "-Infinity"]),
        ([True, None], pa.bool_(), [True, None]),
        ([date(2026, 1, 31)], pa.date32(), ["2026-01-31"]),
        ([MOMENT], pa.timestamp("us", tz="UTC"), ["2026-11-20T13:05:07.123456Z"]),
        ([MOMENT.replace(tzinfo=None)], pa.timestamp("us"), ["2026-11-20T13:05:07.123456"]),
        ([time(13, 5, 7)], pa.time64("us"), ["13:05:07"]),
        ([b"\x00\xff"], pa.binary(), ["AP8="]),
        (["é\n\0"], pa.string(), ["é\n\0"]),
        ([[Decimal(1), None], []], pa.list_(NUMERIC), [["1", None], []]),
        (
            [{"day": date(2026, 1, 1), "costs": [Decimal("0.1")]}],
            pa.struct([("day", pa.date32()), ("costs", pa.list_(NUMERIC))]),
            [{"day": "2026-01-01", "costs": ["0.1"]}],
        ),
    ],
)
def test_values_as_json(values: list[Any], kind: pa.DataType, expected: list[Any]) -> None:
    answer = json.loads(write_json(_result(values, kind)).body)

    assert [row["value"] for row in answer["rows"]] == expected


def test_the_answer_beside_the_rows() -> None:
    table = pa.table({"a": pa.array([1, 2, 3]), "b": pa.array([Decimal(1)] * 3, NUMERIC)})
    answer = json.loads(write_json(Result.of(table, max_rows=2, duration_ms=7)).body)

    assert answer == {
        "columns": [{"name": "a", "type": "INT64"}, {"name": "b", "type": "NUMERIC"}],
        "rows": [{"a": 1, "b": "1"}, {"a": 2, "b": "1"}],
        "row_count": 2,
        "truncated": True,
        "duration_ms": 7,
        "bytes_processed": None,
    }


def test_no_rows_keep_their_columns() -> None:
    answer = json.loads(write_json(_result([], NUMERIC)).body)

    assert (answer["columns"], answer["rows"], answer["truncated"]) == (
        [{"name": "value", "type": "NUMERIC"}],
        [],
        False,
    )


def test_bytes_that_the_warehouse_noted() -> None:
    table = pa.table({"a": [1]}).replace_schema_metadata({"bytes_processed": "1024"})

    assert json.loads(write_json(Result.of(table, max_rows=1, duration_ms=0)).body)["bytes_processed"] == 1024


def test_two_columns_of_one_name_are_refused() -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])

    with pytest.raises(QueryRejected, match="called a"):
        Result.of(table, max_rows=1, duration_ms=0)


def test_csv() -> None:
    table = pa.table(
        {
            "text": ['a,"b"\n', None],
            "cost": pa.array([Decimal("0.1"), None], NUMERIC),
            "many": pa.array([[1, 2], None], pa.list_(pa.int64())),
            "yes": [True, False],
        }
    )
    response = write_csv(Result.of(table, max_rows=1000, duration_ms=1))

    assert list(csv.reader(io.StringIO(bytes(response.body).decode(), newline=""))) == [
        ["text", "cost", "many", "yes"],
        ['a,"b"\n', "0.1", "[1,2]", "true"],
        ["", "", "", "false"],
    ]


def test_arrow_and_parquet_keep_types_and_say_how_many() -> None:
    result = _result([Decimal("0.123456789"), Decimal(2)], NUMERIC, max_rows=1)
    streamed = pa.ipc.open_stream(bytes(write_arrow(result).body)).read_all()
    parquet = pyarrow.parquet.read_table(io.BytesIO(bytes(write_parquet(result).body)))
    headers = write_arrow(result).headers

    assert streamed.column("value").to_pylist() == parquet.column("value").to_pylist() == [Decimal("0.123456789")]
    assert streamed.schema.field("value").type == parquet.schema.field("value").type == NUMERIC
    assert (headers["X-Row-Count"], headers["X-Truncated"]) == ("1", "true")
