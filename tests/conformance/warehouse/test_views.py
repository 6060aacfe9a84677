from __future__ import annotations

from decimal import Decimal

import pytest

from convergence.catalog.schemas import Column, TableSchema
from convergence.errors import SchemaMismatch, StatementFailed
from convergence.sql import Statement

from .conftest import DAY, Bench, usage


def by_model(bench: Bench, sql: str = "SELECT model, SUM(amount) / 3 AS third FROM usage GROUP BY model") -> Statement:
    return Statement(sql, bench.org.dataset)


async def test_a_view_follows_its_table(bench: Bench) -> None:
    view = bench.org.table("by_model")
    await bench.warehouse.ensure_view(view, by_model(bench))

    await bench.load(usage((DAY, "a", 1, "1")))

    assert await bench.rows("SELECT * FROM by_model") == [("a", Decimal("0.333333333"))]


async def test_it_is_missing_once(bench: Bench) -> None:
    view = bench.org.table("by_model")

    assert [await bench.warehouse.ensure_view(view, by_model(bench)) for _ in range(2)] == [True, False]
    assert await bench.warehouse.tables(bench.org.dataset) == ["by_model", "usage", "usage_rejects"]


async def test_it_is_replaced(bench: Bench) -> None:
    view = bench.org.table("by_model")
    await bench.warehouse.ensure_view(view, by_model(bench))

    await bench.warehouse.ensure_view(view, by_model(bench, "SELECT 1 AS one"))

    assert await bench.rows("SELECT * FROM by_model") == [(1,)]


async def test_a_view_on_a_view(bench: Bench) -> None:
    await bench.warehouse.ensure_view(bench.org.table("first"), by_model(bench, "SELECT 2 AS x"))
    await bench.warehouse.ensure_view(bench.org.table("second"), by_model(bench, "SELECT x * 2 AS y FROM first"))

    assert await bench.rows("SELECT y FROM second") == [(4,)]


async def test_a_view_of_another_dataset(bench: Bench) -> None:
    await _profiles(bench)
    statement = Statement(
        "SELECT org_slug FROM org_profiles WHERE org_slug = 'acme'",
        bench.org.dataset,
        tables={"org_profiles": bench.platform.table("org_profiles")},
    )

    await bench.warehouse.ensure_view(bench.org.table("profile"), statement)

    assert await bench.rows("SELECT * FROM profile") == [("acme",)]


async def test_a_table_is_never_replaced_by_a_view(bench: Bench) -> None:
    with pytest.raises(SchemaMismatch, match=r"acme_dev\.usage is a table"):
        await bench.warehouse.ensure_view(bench.usage, by_model(bench, "SELECT 1 AS x"))


@pytest.mark.parametrize("sql", ["SELECT @x", "DELETE FROM usage WHERE TRUE", "SELECT * FROM other_dev.t"])
async def test_refused(bench: Bench, sql: str) -> None:
    with pytest.raises(StatementFailed):
        await bench.warehouse.ensure_view(bench.org.table("v"), by_model(bench, sql))


async def test_a_view_is_dropped(bench: Bench) -> None:
    view = bench.org.table("by_model")
    await bench.warehouse.ensure_view(view, by_model(bench))

    await bench.warehouse.drop(view)

    assert "by_model" not in await bench.warehouse.tables(bench.org.dataset)


async def _profiles(bench: Bench) -> None:
    await bench.warehouse.ensure_dataset(bench.platform.dataset)
    table = bench.platform.table("org_profiles")
    await bench.warehouse.ensure(table, TableSchema("org_profiles", (Column("org_slug", "STRING"),)))
    for slug in ("acme", "rival"):
        await bench.warehouse.execute(
            Statement("INSERT INTO org_profiles (org_slug) VALUES (@slug)", bench.platform.dataset, {"slug": slug})
        )
