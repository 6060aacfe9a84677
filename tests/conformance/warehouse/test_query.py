from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from convergence.errors import StatementFailed
from convergence.sql import Statement
from convergence.tenancy import DatasetRef
from convergence.warehouse.arrow import bigquery_type

from .conftest import DAY, NEXT, Bench, usage


async def test_parameters(bench: Bench) -> None:
    await bench.load(usage((DAY, "a", 1, "1"), (NEXT, "b", 2, "2")))

    found = await bench.rows(
        "SELECT model FROM usage WHERE usage_date = @day AND model IN UNNEST(@m)", day=DAY, m=["a"]
    )

    assert found == [("a",)]


@pytest.mark.parametrize("text", ["'; DELETE FROM usage; --", "\\", "@day", "$day", "日本"])
async def test_a_value_is_never_text(bench: Bench, text: str) -> None:
    await bench.load(usage((DAY, text, 1, "1"), (DAY, "other", 1, "1")))

    assert await bench.rows("SELECT model FROM usage WHERE model = @model", model=text) == [(text,)]


async def test_a_missing_parameter_is_named(bench: Bench) -> None:
    with pytest.raises(StatementFailed, match="no value for @a, @b"):
        await bench.rows("SELECT @a, @b, @c", c=1)


@pytest.mark.parametrize("amount", ["0.0000000001", "1e29", "NaN"])
async def test_an_amount_that_numeric_cannot_hold_is_refused(bench: Bench, amount: str) -> None:
    with pytest.raises(StatementFailed, match=r"not a NUMERIC\(38, 9\)"):
        await bench.rows("SELECT @amount", amount=Decimal(amount))


async def test_the_largest_amount_is_bound_exactly(bench: Bench) -> None:
    amount = Decimal("99999999999999999999999999999.999999999")

    assert await bench.rows("SELECT @amount", amount=amount) == [(amount,)]


RESULTS = [
    ("SELECT SUM(tokens) FROM usage", "INT64", 3),
    ("SELECT COUNT(*) FROM usage", "INT64", 2),
    ("SELECT SUM(amount) FROM usage", "NUMERIC", Decimal("1.500000000")),
    ("SELECT SUM(amount) / 7 FROM usage", "NUMERIC", Decimal("0.214285714")),
    ("SELECT AVG(amount) FROM usage", "NUMERIC", Decimal("0.750000000")),
    ("SELECT SUM(amount * tokens) FROM usage", "NUMERIC", Decimal("2.000000000")),
    ("SELECT SUM(tokens) / 2 FROM usage", "FLOAT64", 1.5),
    ("SELECT MAX(usage_date) FROM usage", "DATE", DAY),
    ("SELECT TO_JSON_STRING(STRUCT(1 AS a))", "STRING", '{"a":1}'),
    ("SELECT ARRAY_AGG(model ORDER BY model) FROM usage", "ARRAY<STRING>", ["a", "b"]),
    ("SELECT SUM(tokens) FROM usage WHERE FALSE", "INT64", None),
    ("SELECT DATE '2026-01-01' < CURRENT_DATE()", "BOOL", True),
    ("SELECT DATE_ADD(MAX(usage_date), INTERVAL 1 DAY) FROM usage", "DATE", date(2026, 1, 2)),
]


@pytest.mark.parametrize(("sql", "kind", "value"), RESULTS, ids=[sql for sql, _kind, _value in RESULTS])
async def test_result(bench: Bench, sql: str, kind: str, value: object) -> None:
    await bench.load(usage((DAY, "a", 1, "1"), (DAY, "b", 2, "0.5")))

    found = await bench.warehouse.query(Statement(sql, bench.org.dataset))

    assert (bigquery_type(found.schema[0]), found.column(0).to_pylist()) == (kind, [value])


REFUSED = [
    ("SELECT nope FROM usage", "nope"),
    ("SELECT * FROM nowhere", "nowhere"),
    ("SELECT 1; SELECT 2", "one statement"),
    ("DELETE FROM usage WHERE TRUE", "query takes a SELECT"),
    ("SELECT 1 / 0", "division by zero"),
    ("SELECT CAST('x' AS INT64)", "x"),
    ("SELECT FROM", "syntax"),
]


@pytest.mark.parametrize(("sql", "reason"), REFUSED, ids=[sql for sql, _reason in REFUSED])
async def test_refused(bench: Bench, sql: str, reason: str) -> None:
    with pytest.raises(StatementFailed, match=reason):
        await bench.rows(sql)


async def test_a_dataset_that_is_not_there_is_named(bench: Bench) -> None:
    with pytest.raises(StatementFailed, match="dataset nowhere_dev does not exist"):
        await bench.warehouse.query(Statement("SELECT * FROM t", DatasetRef("nowhere_dev")))


async def test_execute_counts_rows(bench: Bench) -> None:
    await bench.load(usage((DAY, "a", 1, "1"), (DAY, "b", 1, "1")))

    assert await bench.execute("UPDATE usage SET tokens = @n WHERE model = 'a'", n=9) == 1
    assert await bench.execute("DELETE FROM usage WHERE tokens > 100") == 0
    assert await bench.execute("INSERT INTO usage (usage_date, model) VALUES (@d, 'c'), (@d, 'd')", d=DAY) == 2


@pytest.mark.parametrize("sql", ["SELECT 1", "DROP TABLE usage", "CREATE TABLE x AS SELECT 1"])
async def test_execute_takes_dml_only(bench: Bench, sql: str) -> None:
    with pytest.raises(StatementFailed, match="execute takes INSERT, UPDATE, DELETE or MERGE"):
        await bench.execute(sql)


async def test_estimate_names_the_tables(bench: Bench) -> None:
    statement = Statement("WITH x AS (SELECT * FROM usage) SELECT * FROM x, usage_rejects", bench.org.dataset)

    estimate = await bench.warehouse.estimate(statement)

    assert estimate.tables == {bench.usage, bench.usage.rejects}


async def test_estimate_runs_nothing_and_refuses_what_is_wrong(bench: Bench) -> None:
    with pytest.raises(StatementFailed, match="nope"):
        await bench.warehouse.estimate(Statement("SELECT nope FROM usage", bench.org.dataset))


async def test_ping(bench: Bench) -> None:
    assert await bench.warehouse.ping() is None
