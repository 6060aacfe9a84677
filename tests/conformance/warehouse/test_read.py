"""Statements that users wrote: what they see, and what stops them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from convergence.catalog.schemas import Column, TableSchema
from convergence.errors import QueryRejected
from convergence.sql import Statement
from convergence.warehouse.arrow import bigquery_type

from .conftest import DAY, Bench, usage


async def test_everything_committed_is_seen(bench: Bench) -> None:
    assert await bench.read("SELECT * FROM usage") == []

    await bench.load(usage((DAY, "a", 1, "1")))
    assert await bench.read("SELECT model FROM usage") == [("a",)]

    await bench.execute("UPDATE usage SET model = 'b' WHERE TRUE")
    assert await bench.read("SELECT model FROM acme_dev.usage") == [("b",)]


async def test_types_and_arithmetic_are_those_of_query(bench: Bench) -> None:
    await bench.load(usage((DAY, "a", 2, "1")))
    sql = "SELECT SUM(amount) / 3 AS third, SUM(tokens) AS n, AVG(amount) AS mean, usage_date FROM usage GROUP BY 4"

    found = await bench.warehouse.read(Statement(sql, bench.org.dataset), max_rows=10)

    assert found.to_pylist() == [
        {"third": Decimal("0.333333333"), "n": 2, "mean": Decimal("1.000000000"), "usage_date": DAY}
    ]
    assert [bigquery_type(field) for field in found.schema] == ["NUMERIC", "INT64", "NUMERIC", "DATE"]


PARAMETERS: list[Any] = [
    "text' --", 7, True, None, Decimal("0.000000001"), date(2026, 1, 2), b"\x00\xff", [1, 2], ["a", "b"], [],
    datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), [Decimal("1.5"), Decimal(2)],
]  # fmt: skip


@pytest.mark.parametrize("value", PARAMETERS, ids=repr)
async def test_parameters(bench: Bench, value: Any) -> None:
    assert await bench.read("SELECT @value", value=value) == [(value,)]


async def test_one_row_more_than_asked_tells_that_there_are_more(bench: Bench) -> None:
    found = await bench.read("SELECT x FROM UNNEST(GENERATE_ARRAY(1, 100)) AS x ORDER BY x DESC", max_rows=3)

    assert found == [(100,), (99,), (98,), (97,)]


async def test_views_are_seen(bench: Bench) -> None:
    await bench.load(usage((DAY, "a", 1, "1")))
    view = Statement("SELECT model, amount / 3 AS third FROM usage", bench.org.dataset)
    await bench.warehouse.ensure_view(bench.org.table("thirds"), view)

    assert await bench.read("SELECT * FROM thirds") == [("a", Decimal("0.333333333"))]


async def test_a_view_of_the_platform_follows_it(bench: Bench) -> None:
    profiles = bench.platform.table("org_profiles")
    await bench.warehouse.ensure_dataset(bench.platform.dataset)
    await bench.warehouse.ensure(
        profiles, TableSchema("org_profiles", (Column("org_slug", "STRING"), Column("plan", "STRING")))
    )
    await bench.warehouse.execute(
        Statement(
            "INSERT INTO org_profiles (org_slug, plan) VALUES ('acme', 'STARTER'), ('rival', 'SCALE')",
            bench.platform.dataset,
        )
    )
    sql = "SELECT org_slug, plan FROM org_profiles WHERE org_slug = 'acme'"
    statement = Statement(sql, bench.org.dataset, tables={"org_profiles": profiles})
    await bench.warehouse.ensure_view(bench.org.table("org_comprehensive_view"), statement)
    before = await bench.read("SELECT * FROM org_comprehensive_view")

    await bench.warehouse.execute(
        Statement("UPDATE org_profiles SET plan = 'PROFESSIONAL' WHERE org_slug = 'acme'", bench.platform.dataset)
    )

    assert before == [("acme", "STARTER")]
    assert await bench.read("SELECT * FROM org_comprehensive_view") == [("acme", "PROFESSIONAL")]


REFUSED = [
    ("DROP TABLE usage", "only SELECT"),
    ("SELECT * FROM organizations.org_api_keys", "not in dataset"),
    ("SELECT * FROM _load_ledger", "internal"),
    ("SELECT * FROM nowhere", "nowhere"),
    ("SELECT nope FROM usage", "nope"),
    ("SELECT 1 / 0", "division by zero"),
    ("SELECT @missing", "no value for @missing"),
    ("SELECT * FROM read_csv('/etc/passwd')", "table function"),
    ("SELECT * FROM `/etc/passwd`", "passwd"),
]


@pytest.mark.parametrize(("sql", "reason"), REFUSED, ids=[sql for sql, _reason in REFUSED])
async def test_refused(bench: Bench, sql: str, reason: str) -> None:
    with pytest.raises(QueryRejected, match=reason):
        await bench.read(sql)


async def test_time_is_limited(bench: Bench) -> None:
    endless = (
        "SELECT COUNT(*) FROM UNNEST(GENERATE_ARRAY(1, 200000)) a, UNNEST(GENERATE_ARRAY(1, 200000)) b WHERE a <> b"
    )

    with pytest.raises(QueryRejected, match="longer than 8 s"):
        await bench.read(endless)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT LENGTH(REPEAT('a', 2000000000))",
        (
            "SELECT ARRAY_LENGTH(ARRAY_AGG(REPEAT('x', 100000) || CAST(a AS STRING)))"
            " FROM UNNEST(GENERATE_ARRAY(1, 20000)) a"
        ),
    ],
)
async def test_memory_is_limited(bench: Bench, sql: str) -> None:
    with pytest.raises(QueryRejected, match="more than 256MB of memory"):
        await bench.read(sql)


async def test_the_result_is_limited(bench: Bench) -> None:
    with pytest.raises(QueryRejected, match="the result is larger"):
        await bench.read("SELECT REPEAT('x', 10000) FROM UNNEST(GENERATE_ARRAY(1, 5000)) a", max_rows=10_000)


async def test_a_refused_read_leaves_the_next_one_alone(bench: Bench) -> None:
    with pytest.raises(QueryRejected):
        await bench.read("SELECT 1 / 0")

    assert await bench.read("SELECT 1") == [(1,)]
