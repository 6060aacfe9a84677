"""GoogleSQL statements executed on DuckDB, each beside the rows that BigQuery documents for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from convergence.errors import StatementFailed
from convergence.sql import Statement
from convergence.sql.arithmetic import build_macros
from convergence.sql.translation import Kind, translate
from convergence.tenancy import OrgScope, PlatformScope, TableRef

ORG = OrgScope("acme")
DATASET = ORG.dataset
PROFILES = PlatformScope().table("org_profiles")
D = Decimal


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for name in ("acme_dev", "organizations"):
        connection.execute(f"ATTACH ':memory:' AS {name}")
    for macro in build_macros(DATASET):
        connection.execute(macro)
    connection.execute(
        "CREATE TABLE acme_dev.usage AS SELECT * FROM (VALUES"
        " (DATE '2026-01-01', 'gpt-4o', 100, 1.5::DECIMAL(38, 9), ['a', 'b'], {'team': 'x', 'cost': 2}),"
        " (DATE '2026-01-01', 'mini', 300, 0.25::DECIMAL(38, 9), ['c'], {'team': 'y', 'cost': 3}),"
        " (DATE '2026-02-03', 'gpt-4o', NULL, NULL, [], {'team': NULL, 'cost': NULL})"
        ") AS t(day, model, tokens, amount, tags, owner)"
    )
    connection.execute("CREATE TABLE organizations.org_profiles AS SELECT 'acme' AS org_slug")
    yield connection
    connection.close()


def run(engine: duckdb.DuckDBPyConnection, sql: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
    tables = {"org_profiles": PROFILES}
    translation = translate(Statement(sql, DATASET, tables=tables))
    return engine.execute(translation.text, parameters or {}).fetchall()


TS = "TIMESTAMP '2026-01-05 13:45:59+00'"

CASES: list[tuple[str, list[tuple[Any, ...]]]] = [
    # Exact amounts
    ("SELECT NUMERIC '1' / 3", [(D("0.333333333"),)]),
    ("SELECT NUMERIC '2' / 3, NUMERIC '-2' / 3", [(D("0.666666667"), D("-0.666666667"))]),
    ("SELECT 1 / 4", [(0.25,)]),
    ("SELECT CAST(1 AS FLOAT64) / 4", [(0.25,)]),
    ("SELECT SUM(amount) / COUNT(*) FROM usage", [(D("0.583333333"),)]),
    ("SELECT SUM(amount) / SUM(tokens) FROM usage", [(D("0.004375000"),)]),
    ("SELECT AVG(amount) FROM usage", [(D("0.875000000"),)]),
    ("SELECT AVG(tokens) FROM usage", [(200.0,)]),
    ("SELECT AVG(amount) FROM usage WHERE FALSE", [(None,)]),
    ("SELECT DISTINCT AVG(amount) OVER (PARTITION BY day) FROM usage ORDER BY 1", [(None,), (D("0.875000000"),)]),
    ("SELECT NUMERIC '0.000000001' * NUMERIC '0.5'", [(D("0.000000001"),)]),
    ("SELECT NUMERIC '1.1' * NUMERIC '1.1' * NUMERIC '1.1' * NUMERIC '1.1' * 2", [(D("2.928200000"),)]),
    ("SELECT SUM(amount * tokens) FROM usage", [(D("225.000000000"),)]),
    ("SELECT 6 * 7, 2 * 0.5", [(42, D("1.0"))]),
    ("SELECT SAFE_DIVIDE(amount, tokens) FROM usage ORDER BY 1 LIMIT 1", [(None,)]),
    ("SELECT SAFE_DIVIDE(NUMERIC '1', 0), SAFE_DIVIDE(NUMERIC '10', 4)", [(None, D("2.500000000"))]),
    ("SELECT NUMERIC '100' * SAFE_DIVIDE(SUM(amount), SUM(amount)) FROM usage", [(D("100.000000000"),)]),
    ("SELECT CAST('0.0000000005' AS NUMERIC), CAST('-0.0000000005' AS NUMERIC)", [(D("1E-9"), D("-1E-9"))]),
    ("SELECT CAST('12345678901234567890.123456789' AS NUMERIC)", [(D("12345678901234567890.123456789"),)]),
    ("SELECT ROUND(NUMERIC '2.345', 2), ROUND(NUMERIC '-2.345', 2)", [(D("2.35"), D("-2.35"))]),
    ("SELECT CAST(2.5 AS INT64), CAST('x' AS STRING)", [(3, "x")]),
    ("SELECT SAFE_CAST('abc' AS NUMERIC), SAFE_CAST('7' AS INT64)", [(None, 7)]),
    ("SELECT CAST('1.123456789012' AS BIGNUMERIC)", [(D("1.123456789012000000"),)]),
    ("SELECT DIV(7, 2), MOD(7, 2), ABS(-3), SIGN(-2)", [(3, 1, 3, -1)]),
    ("SELECT GREATEST(1, 3, 2), LEAST(1, NULL)", [(3, None)]),
    # Conditions
    ("SELECT IF(TRUE, 'a', 'b'), IFNULL(NULL, 1), COALESCE(NULL, 2), NULLIF(1, 1)", [("a", 1, 2, None)]),
    ("SELECT CASE WHEN tokens > 200 THEN 'many' ELSE 'few' END FROM usage WHERE model = 'mini'", [("many",)]),
    ("SELECT COUNTIF(tokens >= 100) FROM usage", [(2,)]),
    ("SELECT COUNTIF(tokens >= 100) FROM usage WHERE FALSE", [(0,)]),
    ("SELECT COUNTIF(tokens >= 100) FROM usage WHERE tokens IS NULL", [(0,)]),
    ("SELECT COUNTIF(tokens > 0) OVER (PARTITION BY day) FROM usage ORDER BY 1", [(0,), (2,), (2,)]),
    ("SELECT model FROM usage GROUP BY model HAVING COUNTIF(tokens IS NULL) = 0", [("mini",)]),
    ("SELECT COUNTIF(DISTINCT tokens > 0), COUNTIF(tokens > 0) / COUNT(*) FROM usage", [(1, 2 / 3)]),
    # Aggregates over nothing
    (
        "SELECT COUNT(*), COUNT(tokens), COUNT(DISTINCT model), APPROX_COUNT_DISTINCT(model) FROM usage WHERE FALSE",
        [(0, 0, 0, 0)],
    ),
    (
        "SELECT SUM(tokens), MIN(day), MAX(day), AVG(amount), ANY_VALUE(model) FROM usage WHERE FALSE",
        [(None, None, None, None, None)],
    ),
    ("SELECT LOGICAL_OR(tokens > 0), LOGICAL_AND(tokens > 0) FROM usage WHERE tokens IS NULL", [(None, None)]),
    ("SELECT STRING_AGG(model), ARRAY_AGG(model), STRING_AGG(model LIMIT 1) FROM usage WHERE FALSE", [(None,) * 3]),
    ("SELECT BIT_AND(tokens), BIT_OR(tokens), STDDEV(tokens), VAR_POP(tokens) FROM usage WHERE FALSE", [(None,) * 4]),
    ("SELECT ARRAY_LENGTH(ARRAY(SELECT model FROM usage WHERE FALSE))", [(0,)]),
    ("SELECT MAX_BY(model, tokens) FROM usage WHERE tokens IS NULL", [(None,)]),
    ("SELECT LOGICAL_OR(tokens = 300), LOGICAL_AND(tokens = 300) FROM usage", [(True, False)]),
    ("SELECT model FROM usage WHERE model LIKE 'gpt%' GROUP BY model", [("gpt-4o",)]),
    ("SELECT 1 IN UNNEST([1, 2]), 3 IN UNNEST([1, 2])", [(True, False)]),
    ("SELECT 'x' IS DISTINCT FROM NULL", [(True,)]),
    # Dates
    ("SELECT DATE_TRUNC(day, MONTH) FROM usage GROUP BY 1 ORDER BY 1", [(date(2026, 1, 1),), (date(2026, 2, 1),)]),
    ("SELECT DATE_TRUNC(DATE '2026-01-07', WEEK)", [(date(2026, 1, 4),)]),
    (
        "SELECT DATE_TRUNC(DATE '2026-01-07', ISOWEEK), DATE_TRUNC(DATE '2026-05-07', QUARTER)",
        [(date(2026, 1, 5), date(2026, 4, 1))],
    ),
    ("SELECT DATE_ADD(DATE '2026-01-31', INTERVAL 1 MONTH)", [(date(2026, 2, 28),)]),
    ("SELECT DATE_SUB(DATE '2026-03-01', INTERVAL 1 DAY)", [(date(2026, 2, 28),)]),
    ("SELECT DATE_ADD(day, INTERVAL tokens DAY) FROM usage WHERE model = 'mini'", [(date(2026, 10, 28),)]),
    ("SELECT DATE_DIFF(DATE '2026-03-01', DATE '2026-01-31', DAY)", [(29,)]),
    ("SELECT DATE_DIFF(DATE '2026-03-01', DATE '2026-01-31', MONTH)", [(2,)]),
    ("SELECT EXTRACT(YEAR FROM day), EXTRACT(MONTH FROM day) FROM usage WHERE tokens IS NULL", [(2026, 2)]),
    ("SELECT EXTRACT(DAYOFWEEK FROM DATE '2026-01-04')", [(1,)]),
    ("SELECT EXTRACT(ISOWEEK FROM DATE '2026-01-01'), EXTRACT(WEEK FROM DATE '2026-01-04')", [(1, 1)]),
    ("SELECT EXTRACT(WEEK(MONDAY) FROM DATE '2026-01-04'), EXTRACT(WEEK(SUNDAY) FROM DATE '2026-01-04')", [(0, 1)]),
    ("SELECT DATE_TRUNC(DATE '2026-01-07', WEEK(MONDAY))", [(date(2026, 1, 5),)]),
    ("SELECT EXTRACT(WEEK FROM DATE '2026-01-03'), EXTRACT(DAYOFYEAR FROM DATE '2026-02-01')", [(0, 32)]),
    ("SELECT LAST_DAY(DATE '2026-02-03'), DATE(2026, 1, 2)", [(date(2026, 2, 28), date(2026, 1, 2))]),
    ("SELECT FORMAT_DATE('%Y-%m', day) FROM usage WHERE tokens IS NULL", [("2026-02",)]),
    ("SELECT PARSE_DATE('%Y%m%d', '20260105')", [(date(2026, 1, 5),)]),
    (
        "SELECT GENERATE_DATE_ARRAY(DATE '2026-01-30', DATE '2026-02-01')",
        [([date(2026, 1, 30), date(2026, 1, 31), date(2026, 2, 1)],)],
    ),
    (
        "SELECT d FROM UNNEST(GENERATE_DATE_ARRAY('2026-01-01', '2026-01-15', INTERVAL 1 WEEK)) AS d ORDER BY d",
        [(date(2026, 1, 1),), (date(2026, 1, 8),), (date(2026, 1, 15),)],
    ),
    ("SELECT UNIX_DATE(DATE '1970-01-11')", [(10,)]),
    # Timestamps
    (f"SELECT TIMESTAMP_TRUNC({TS}, HOUR)", [(datetime(2026, 1, 5, 13, tzinfo=UTC),)]),
    (f"SELECT TIMESTAMP_ADD({TS}, INTERVAL 1 MINUTE)", [(datetime(2026, 1, 5, 13, 46, 59, tzinfo=UTC),)]),
    (f"SELECT TIMESTAMP_SUB({TS}, INTERVAL 2 HOUR)", [(datetime(2026, 1, 5, 11, 45, 59, tzinfo=UTC),)]),
    ("SELECT TIMESTAMP_DIFF(TIMESTAMP '2026-01-01 01:00:00+00', TIMESTAMP '2026-01-01 00:00:01+00', HOUR)", [(0,)]),
    ("SELECT TIMESTAMP_DIFF(TIMESTAMP '2026-01-01 02:00:00+00', TIMESTAMP '2026-01-01 00:00:00+00', MINUTE)", [(120,)]),
    (
        f"SELECT DATE({TS}), EXTRACT(DATE FROM {TS}), EXTRACT(HOUR FROM {TS})",
        [(date(2026, 1, 5), date(2026, 1, 5), 13)],
    ),
    (f"SELECT EXTRACT(TIME FROM {TS})", [(time(13, 45, 59),)]),
    (f"SELECT FORMAT_TIMESTAMP('%Y-%m-%dT%H:%M:%SZ', {TS})", [("2026-01-05T13:45:59Z",)]),
    (
        "SELECT PARSE_TIMESTAMP('%Y-%m-%d %H:%M:%S', '2026-01-05 01:02:03')",
        [(datetime(2026, 1, 5, 1, 2, 3, tzinfo=UTC),)],
    ),
    (
        "SELECT TIMESTAMP_SECONDS(60), TIMESTAMP_MILLIS(1500)",
        [(datetime(1970, 1, 1, 0, 1, tzinfo=UTC), datetime(1970, 1, 1, 0, 0, 1, 500000, tzinfo=UTC))],
    ),
    ("SELECT TIMESTAMP_MICROS(1000001)", [(datetime(1970, 1, 1, 0, 0, 1, 1, tzinfo=UTC),)]),
    (f"SELECT UNIX_SECONDS({TS}), UNIX_MILLIS({TS})", [(1767620759, 1767620759000)]),
    ("SELECT TIMESTAMP('2026-01-05')", [(datetime(2026, 1, 5, tzinfo=UTC),)]),
    (f"SELECT DATETIME({TS})", [(datetime(2026, 1, 5, 13, 45, 59),)]),  # noqa: DTZ001 - DATETIME has no zone
    (
        "SELECT CURRENT_DATE() <= CURRENT_DATE(), CURRENT_TIMESTAMP() > TIMESTAMP '2020-01-01 00:00:00+00'",
        [(True, True)],
    ),
    # Text
    ("SELECT CONCAT('a', 'b'), 'a' || 'c', UPPER('x'), LOWER('Y'), LENGTH('abc')", [("ab", "ac", "X", "y", 3)]),
    ("SELECT SUBSTR('abcdef', 2, 3), LEFT('abc', 2), RIGHT('abc', 2), STRPOS('abc', 'c')", [("bcd", "ab", "bc", 3)]),
    ("SELECT STARTS_WITH('abc', 'ab'), ENDS_WITH('abc', 'bc'), CONTAINS_SUBSTR('aBc', 'bC')", [(True, True, True)]),
    (
        "SELECT SPLIT('a,b', ','), REPLACE('aXb', 'X', '-'), TRIM('  a '), LPAD('7', 3, '0')",
        [(["a", "b"], "a-b", "a", "007")],
    ),
    (r"SELECT REGEXP_CONTAINS('abc123', r'\d+'), REGEXP_EXTRACT('a12b', r'(\d+)')", [(True, "12")]),
    (r"SELECT REGEXP_REPLACE('ab', r'(a)(b)', r'\2\1'), REGEXP_EXTRACT_ALL('a1b2', r'\d')", [("ba", ["1", "2"])]),
    ("SELECT REGEXP_EXTRACT('abc', r'x')", [(None,)]),
    ("SELECT STRING_AGG(model, '|' ORDER BY model DESC) FROM usage WHERE tokens IS NOT NULL", [("mini|gpt-4o",)]),
    ("SELECT STRING_AGG(model, '|' ORDER BY tokens DESC LIMIT 1) FROM usage", [("mini",)]),
    ("SELECT STRING_AGG(DISTINCT model ORDER BY model LIMIT 5) FROM usage", [("gpt-4o,mini",)]),
    ("SELECT CAST(amount AS STRING) FROM usage ORDER BY 1", [(None,), ("0.25",), ("1.5",)]),
    ("SELECT CAST(SUM(amount) AS STRING), SAFE_CAST(SUM(amount) * 0 AS STRING) FROM usage", [("1.75", "0")]),
    (
        "SELECT CAST(NUMERIC '100' AS STRING), CAST(NUMERIC '-0.5' AS STRING), CAST(NUMERIC '0.000000001' AS STRING)",
        [("100", "-0.5", "0.000000001")],
    ),
    ("SELECT CAST(CAST(2 AS FLOAT64) AS STRING), CAST(0.1e0 AS STRING), CAST(100 AS STRING)", [("2", "0.1", "100")]),
    ("SELECT CAST('1.50' AS STRING), CAST(NULL AS STRING)", [("1.50", None)]),
    (f"SELECT CAST({TS} AS STRING)", [("2026-01-05 13:45:59+00",)]),
    (
        (
            "SELECT CAST(amount AS STRING) AS text, COUNT(*) FROM usage GROUP BY CAST(amount AS STRING)"
            " ORDER BY 1 DESC LIMIT 1"
        ),
        [("1.5", 1)],
    ),
    (
        "SELECT FORMAT('%d of %s, %05.2f', tokens, model, CAST(amount AS FLOAT64)) FROM usage WHERE tokens = 300",
        [("300 of mini, 00.25",)],
    ),
    ("SELECT TO_HEX(SHA256('a'))", [("ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",)]),
    ("SELECT TO_HEX(MD5('a'))", [("0cc175b9c0f1b6a831c399e269772661",)]),
    ("SELECT TO_BASE64(b'ab'), FROM_BASE64('YWI=')", [("YWI=", b"ab")]),
    (
        "SELECT CAST(TRUE AS STRING), CAST(12 AS STRING), CAST(DATE '2026-01-02' AS STRING)",
        [("true", "12", "2026-01-02")],
    ),
    # JSON
    ("""SELECT JSON_VALUE('{"a":{"b":1.50}}', '$.a.b')""", [("1.5",)]),
    ("""SELECT JSON_VALUE('{"a":{"b":"x"}}', '$.a.b'), JSON_VALUE('{"a":[1]}', '$.a')""", [("x", None)]),
    ("""SELECT JSON_QUERY('{"a":{"b":1}}', '$.a')""", [('{"b":1}',)]),
    ("""SELECT JSON_VALUE(JSON '{"n":12345678901234567890}', '$.n')""", [("12345678901234567890",)]),
    ("""SELECT JSON_VALUE(j.a.b[1]), JSON_VALUE(j.x) FROM (SELECT JSON '{"a":{"b":[1,"c"]}}' AS j)""", [("c", None)]),
    ("""SELECT t.j.a.b FROM (SELECT JSON '{"a":{"b":2}}' AS j) AS t""", [("2",)]),
    ("""SELECT JSON_EXTRACT_SCALAR('{"a":"x"}', '$.a')""", [("x",)]),
    ("""SELECT TO_JSON_STRING(STRUCT(1 AS a, 'x' AS b))""", [('{"a":1,"b":"x"}',)]),
    # Arrays and structs
    ("SELECT ARRAY_LENGTH(tags) FROM usage ORDER BY 1", [(0,), (1,), (2,)]),
    ("SELECT [10, 20, 30][OFFSET(1)], [10, 20][ORDINAL(1)], [1][SAFE_OFFSET(5)]", [(20, 10, None)]),
    ("SELECT [10, 20][0], tags[1] FROM usage WHERE tokens = 100", [(10, "b")]),
    ("SELECT tags[i] FROM usage, UNNEST([0, 1]) AS i WHERE tokens = 100 ORDER BY i", [("a",), ("b",)]),
    ("SELECT tag FROM usage, UNNEST(tags) AS tag ORDER BY tag", [("a",), ("b",), ("c",)]),
    ("SELECT tag, n FROM usage, UNNEST(tags) AS tag WITH OFFSET AS n ORDER BY tag", [("a", 0), ("b", 1), ("c", 0)]),
    (
        "SELECT t.model, n FROM usage AS t LEFT JOIN UNNEST(t.tags) AS tag WITH OFFSET AS n ORDER BY tag",
        [("gpt-4o", None), ("gpt-4o", 0), ("gpt-4o", 1), ("mini", 0)],
    ),
    ("SELECT o.team, n FROM UNNEST([STRUCT('x' AS team)]) AS o WITH OFFSET AS n", [("x", 0)]),
    ("SELECT tag FROM usage, UNNEST(tags) AS tag WITH OFFSET WHERE offset = 1", [("b",)]),
    ("SELECT x, o FROM UNNEST(['p', 'q']) AS x WITH OFFSET AS o ORDER BY o", [("p", 0), ("q", 1)]),
    ("SELECT model, tag FROM usage LEFT JOIN UNNEST(tags) AS tag WHERE tokens IS NULL", [("gpt-4o", None)]),
    ("SELECT owner.team, owner.cost FROM usage WHERE model = 'mini'", [("y", 3)]),
    ("SELECT s.a, s.b FROM UNNEST([STRUCT(1 AS a, 'x' AS b), STRUCT(2, 'y')]) AS s ORDER BY 1", [(1, "x"), (2, "y")]),
    ("SELECT ARRAY_AGG(model ORDER BY tokens DESC LIMIT 1) FROM usage WHERE tokens > 0", [(["mini"],)]),
    ("SELECT ARRAY_AGG(tokens IGNORE NULLS ORDER BY tokens) FROM usage", [([100, 300],)]),
    ("SELECT ARRAY_AGG(DISTINCT model IGNORE NULLS ORDER BY model) FROM usage", [(["gpt-4o", "mini"],)]),
    ("SELECT ARRAY(SELECT DISTINCT model FROM usage ORDER BY 1)", [(["gpt-4o", "mini"],)]),
    ("SELECT ARRAY_TO_STRING(['a', 'b'], '-'), ARRAY_CONCAT([1], [2])", [("a-b", [1, 2])]),
    ("SELECT ANY_VALUE(model) FROM usage WHERE model = 'mini'", [("mini",)]),
    ("SELECT GENERATE_ARRAY(1, 5, 2)", [([1, 3, 5],)]),
    # Shapes
    (
        "SELECT model FROM usage QUALIFY ROW_NUMBER() OVER (PARTITION BY model ORDER BY tokens DESC) = 1 ORDER BY 1",
        [("gpt-4o",), ("mini",)],
    ),
    ("SELECT * EXCEPT (day, tags, owner, amount) FROM usage WHERE model = 'mini'", [("mini", 300)]),
    (
        "SELECT * EXCEPT (day, tags, owner) REPLACE (tokens * 2 AS tokens) FROM usage WHERE model = 'mini'",
        [("mini", 600, D("0.250000000"))],
    ),
    (
        (
            "SELECT * FROM (SELECT day, model, tokens FROM usage) PIVOT (SUM(tokens) FOR model IN ('gpt-4o', 'mini'))"
            " ORDER BY day"
        ),
        [(date(2026, 1, 1), 100, 300), (date(2026, 2, 3), None, None)],
    ),
    (
        "SELECT model, SUM(tokens) FROM usage GROUP BY ROLLUP (model) ORDER BY model NULLS LAST",
        [("gpt-4o", 100), ("mini", 300), (None, 400)],
    ),
    ("SELECT model, tokens FROM usage ORDER BY tokens", [("gpt-4o", None), ("gpt-4o", 100), ("mini", 300)]),
    ("SELECT tokens FROM usage ORDER BY tokens DESC", [(300,), (100,), (None,)]),
    ("WITH big AS (SELECT * FROM usage WHERE tokens > 200) SELECT model FROM big", [("mini",)]),
    ("WITH usage AS (SELECT model FROM usage WHERE tokens = 300) SELECT * FROM usage", [("mini",)]),
    ("WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS x FROM a) SELECT * FROM b", [(2,)]),
    ("WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT SUM(i) FROM n", [(6,)]),
    ("SELECT 1 AS x UNION ALL SELECT 1 UNION DISTINCT SELECT 2 ORDER BY x", [(1,), (2,)]),
    ("SELECT 1 EXCEPT DISTINCT SELECT 1", []),
    (
        "SELECT u.model, v.model FROM usage u JOIN acme_dev.usage AS v USING (day) WHERE u.model < v.model",
        [("gpt-4o", "mini")],
    ),
    ("SELECT usage.model FROM acme_dev.usage WHERE usage.tokens = 300", [("mini",)]),
    ("SELECT `model` FROM `acme_dev.usage` WHERE `tokens` = 300", [("mini",)]),
    ("SELECT APPROX_COUNT_DISTINCT(model) FROM usage", [(2,)]),
    ("SELECT COUNT(DISTINCT model) FROM usage", [(2,)]),
    ("SELECT LAG(tokens) OVER (ORDER BY tokens DESC) FROM usage ORDER BY tokens DESC", [(None,), (300,), (100,)]),
    (
        "SELECT SUM(tokens) OVER (ORDER BY tokens ROWS UNBOUNDED PRECEDING) FROM usage WHERE tokens > 0 ORDER BY 1",
        [(100,), (400,)],
    ),
    ("SELECT MAX_BY(model, tokens), MIN_BY(model, tokens) FROM usage", [("mini", "gpt-4o")]),
    ("SELECT EXISTS (SELECT 1 FROM usage WHERE tokens > 1000)", [(False,)]),
    ("SELECT (SELECT MAX(tokens) FROM usage)", [(300,)]),
    ("SELECT SAFE.PARSE_DATE('%Y-%m-%d', 'nonsense')", [(None,)]),
    ("SELECT org_slug FROM org_profiles", [("acme",)]),
    ("SELECT p.org_slug, COUNT(*) FROM org_profiles AS p CROSS JOIN usage GROUP BY 1", [("acme", 3)]),
]


@pytest.mark.parametrize(("sql", "rows"), CASES, ids=[sql for sql, _rows in CASES])
def test_statement(engine: duckdb.DuckDBPyConnection, sql: str, rows: list[tuple[Any, ...]]) -> None:
    assert run(engine, sql) == rows


PARAMETERS: list[tuple[str, dict[str, Any], list[tuple[Any, ...]]]] = [
    ("SELECT model FROM usage WHERE tokens = @n", {"n": 300}, [("mini",)]),
    ("SELECT COUNT(*) FROM usage WHERE model IN UNNEST(@models)", {"models": ["mini", "x"]}, [(1,)]),
    ("SELECT COUNT(*) FROM usage WHERE model IN UNNEST(@models)", {"models": []}, [(0,)]),
    ("SELECT id FROM UNNEST(@ids) AS id ORDER BY id", {"ids": [2, 1]}, [(1,), (2,)]),
    ("SELECT COUNT(*) FROM usage WHERE day >= @start AND day < @end",
     {"start": date(2026, 1, 1), "end": date(2026, 2, 1)}, [(2,)]),
    ("SELECT @amount / 3", {"amount": D("1.000000000")}, [(D("0.333333333"),)]),
    ("SELECT DATE_ADD(@day, INTERVAL 1 DAY)", {"day": date(2026, 1, 31)}, [(date(2026, 2, 1),)]),
    ("SELECT @text", {"text": "'; DROP TABLE usage; --"}, [("'; DROP TABLE usage; --",)]),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "parameters", "rows"), PARAMETERS, ids=[case[0] for case in PARAMETERS])
def test_parameters_are_bound(
    engine: duckdb.DuckDBPyConnection, sql: str, parameters: dict[str, Any], rows: list[tuple[Any, ...]]
) -> None:
    assert run(engine, sql, parameters) == rows


TYPES = [
    ("SELECT SUM(amount) / 3 FROM usage", "DECIMAL(38,9)"),
    ("SELECT amount * amount FROM usage", "DECIMAL(38,9)"),
    ("SELECT amount / tokens FROM usage", "DECIMAL(38,9)"),
    ("SELECT SUM(amount) * SUM(tokens) / 2 FROM usage", "DECIMAL(38,9)"),
    ("SELECT AVG(amount) FROM usage", "DECIMAL(38,9)"),
    ("SELECT SAFE_DIVIDE(SUM(amount), COUNT(*)) FROM usage", "DECIMAL(38,9)"),
    ("SELECT amount + 1 FROM usage", "DECIMAL(38,9)"),
    ("SELECT tokens / 2 FROM usage", "DOUBLE"),
    ("SELECT tokens * 2 FROM usage", "BIGINT"),
    ("SELECT COUNTIF(tokens > 0) FROM usage", "BIGINT"),
    ("SELECT CAST(amount AS STRING) FROM usage", "VARCHAR"),
    ("SELECT CAST(tokens AS STRING) FROM usage", "VARCHAR"),
    ("SELECT DATE_TRUNC(day, MONTH) FROM usage", "DATE"),
    ("SELECT DATE_ADD(day, INTERVAL 1 MONTH) FROM usage", "DATE"),
]


@pytest.mark.parametrize(("sql", "kind"), TYPES)
def test_result_type(engine: duckdb.DuckDBPyConnection, sql: str, kind: str) -> None:
    if "BIGINT" in kind:
        sql = sql.replace("tokens", "CAST(tokens AS INT64)")

    relation = engine.sql(translate(Statement(sql, DATASET)).text)

    assert [str(name) for name in relation.types] == [kind]


def test_division_by_zero_is_an_error(engine: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.Error, match="division by zero"):
        run(engine, "SELECT amount / 0 FROM usage")


def test_a_quotient_too_large_to_be_exact_is_an_error(engine: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.Error, match=r"(?i)overflow|out of range"):
        run(engine, "SELECT NUMERIC '99999999999999999999999999999' / 7")


def test_rows_are_changed_by_googlesql(engine: duckdb.DuckDBPyConnection) -> None:
    engine.execute("CREATE OR REPLACE TABLE acme_dev.people AS SELECT 1 AS id, 'a' AS name")

    run(engine, "INSERT INTO people (id, name) VALUES (2, 'b')")
    run(engine, "UPDATE people SET name = 'c' WHERE id = 1")
    run(
        engine,
        "MERGE INTO people t USING (SELECT 3 AS id, 'd' AS name) s ON t.id = s.id"
        " WHEN MATCHED THEN UPDATE SET name = s.name WHEN NOT MATCHED THEN INSERT (id, name) VALUES (id, name)",
    )
    run(
        engine,
        "MERGE INTO people t USING (SELECT 4 AS id, 'e' AS name) s ON t.id = s.id WHEN NOT MATCHED THEN INSERT ROW",
    )
    run(engine, "DELETE FROM people WHERE id = 2")

    assert run(engine, "SELECT id, name FROM people ORDER BY id") == [(1, "c"), (3, "d"), (4, "e")]


def test_tables_and_parameters_are_named() -> None:
    sql = "WITH x AS (SELECT * FROM usage) SELECT * FROM x JOIN acme_dev.costs USING (day) WHERE day = @day"

    translation = translate(Statement(sql, DATASET))

    assert (translation.kind, translation.parameters) == (Kind.SELECT, {"day"})
    assert translation.tables == {TableRef(DATASET, "usage"), TableRef(DATASET, "costs")}


REFUSED = [
    ("SELECT * FROM other_dev.usage", "not in dataset acme_dev"),
    ("SELECT * FROM organizations.org_profiles", "not in dataset acme_dev"),
    ("SELECT * FROM `project.acme_dev.usage`", "not in dataset acme_dev"),
    ("INSERT INTO other_dev.usage (a) VALUES (1)", "not in dataset acme_dev"),
    ("SELECT 1; SELECT 2", "expected one statement, got 2"),
    ("", "expected one statement, got 0"),
    ("SELECT FROM WHERE", "syntax error"),
    ("SELECT * FROM usage FOR SYSTEM_TIME AS OF CURRENT_TIMESTAMP()", "FOR SYSTEM_TIME"),
    ("SELECT FARM_FINGERPRINT(model) FROM usage", "FARM_FINGERPRINT is not available"),
    ("SELECT APPROX_TOP_COUNT(model, 1) FROM usage", "APPROX_TOP_COUNT is not available"),
    ("SELECT FORMAT('%T', model) FROM usage", "FORMAT with %t, %T, %p or %' is not available"),
    ('SELECT FORMAT("%\'d", tokens) FROM usage', "FORMAT with %t, %T, %p or %' is not available"),
    ("SELECT EXTRACT(WEEK(TUESDAY) FROM day) FROM usage", r"EXTRACT\(WEEK\(TUESDAY\)\) is not available"),
    ("SELECT " + "(" * 5000 + "1" + ")" * 5000, "nested too deeply"),
]


@pytest.mark.parametrize(("sql", "reason"), REFUSED, ids=[case[1] + str(n) for n, case in enumerate(REFUSED)])
def test_refused(sql: str, reason: str) -> None:
    with pytest.raises(StatementFailed, match=reason):
        translate(Statement(sql, DATASET))


def test_another_dataset_needs_its_own_reference() -> None:
    statement = Statement("SELECT * FROM profiles AS p", DATASET, tables={"profiles": PROFILES})

    assert translate(statement).tables == {PROFILES}
