from __future__ import annotations

import pyarrow as pa
import pytest

from convergence.catalog.schemas import Column, TableSchema
from convergence.errors import SchemaMismatch
from convergence.warehouse.arrow import bigquery_type, build_arrow_schema, build_field, type_name
from convergence.warehouse.rows import fits

NAMES = [
    "STRING", "BYTES", "INT64", "FLOAT64", "BOOL", "NUMERIC", "BIGNUMERIC", "DATE", "DATETIME", "TIMESTAMP", "TIME",
    "JSON",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_type_has_its_name_back(name: str) -> None:
    assert bigquery_type(build_field(Column("a", name))) == name


OLDER = [("INTEGER", "INT64"), ("FLOAT", "FLOAT64"), ("BOOLEAN", "BOOL"), ("decimal", "NUMERIC")]


@pytest.mark.parametrize(("older", "name"), OLDER)
def test_older_names(older: str, name: str) -> None:
    assert bigquery_type(build_field(Column("a", older))) == name


def test_modes_and_nesting() -> None:
    schema = TableSchema(
        "t",
        (
            Column("day", "DATE", "REQUIRED"),
            Column("tags", "STRING", "REPEATED"),
            Column("owner", "RECORD", fields=(Column("name", "STRING"), Column("cost", "NUMERIC"))),
        ),
    )

    assert build_arrow_schema(schema).equals(
        pa.schema(
            [
                pa.field("day", pa.date32(), nullable=False),
                ("tags", pa.list_(pa.string())),
                ("owner", pa.struct([("name", pa.string()), ("cost", pa.decimal128(38, 9))])),
            ]
        )
    )


def test_an_unknown_type_is_named_with_what_is_known() -> None:
    with pytest.raises(SchemaMismatch, match="column a: type MONEY is not known") as caught:
        build_field(Column("a", "MONEY"))

    assert "NUMERIC" in (caught.value.hint or "")


SHAPES = [
    (pa.list_(pa.int64()), "ARRAY<INT64>"),
    (pa.struct([("a", pa.int64()), ("b", pa.list_(pa.string()))]), "STRUCT<a INT64, b ARRAY<STRING>>"),
    (pa.decimal128(10, 2), "NUMERIC"),
    (pa.int32(), "INT64"),
    (pa.timestamp("ns"), "DATETIME"),
    (pa.timestamp("us", "UTC"), "TIMESTAMP"),
    (pa.null(), "STRING"),
]


@pytest.mark.parametrize(("data_type", "name"), SHAPES, ids=[name for _type, name in SHAPES])
def test_names_of_results(data_type: pa.DataType, name: str) -> None:
    assert type_name(data_type) == name


FITS = [
    (pa.float64(), pa.decimal128(38, 9), False),
    (pa.float64(), pa.int64(), False),
    (pa.int64(), pa.decimal128(38, 9), True),
    (pa.list_(pa.int32()), pa.list_(pa.int64()), True),
    (pa.list_(pa.float64()), pa.list_(pa.decimal128(38, 9)), False),
    (pa.struct([("a", pa.int32())]), pa.struct([("a", pa.int64()), ("b", pa.string())]), True),
    (pa.struct([("z", pa.int32())]), pa.struct([("a", pa.int64())]), False),
    (pa.string(), pa.list_(pa.string()), False),
]


@pytest.mark.parametrize(("source", "target", "expected"), FITS, ids=str)
def test_what_may_become_what(source: pa.DataType, target: pa.DataType, expected: bool) -> None:
    assert fits(source, target) is expected
