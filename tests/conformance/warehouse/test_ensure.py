from __future__ import annotations

import pyarrow as pa
import pytest

from convergence.catalog.schemas import Column, TableSchema
from convergence.errors import SchemaMismatch
from convergence.tenancy import OrgScope
from convergence.warehouse import SchemaChange, Warehouse

from .conftest import DAY, USAGE, Bench, usage


async def test_a_dataset_is_made_once(warehouse: Warehouse) -> None:
    dataset = OrgScope("acme").dataset

    assert [await warehouse.ensure_dataset(dataset) for _ in range(2)] == [True, False]


async def test_a_table_is_made_once(bench: Bench) -> None:
    table, schema = bench.org.table("t"), TableSchema("t", (Column("a", "INT64"),))

    made = [await bench.warehouse.ensure(table, schema) for _ in range(2)]

    assert made == [SchemaChange(created=True), SchemaChange()]


async def test_new_columns_are_added_and_rows_stay(bench: Bench) -> None:
    await bench.load(usage((DAY, "a", 1, "1")))
    wider = TableSchema("usage", (*USAGE.columns, Column("team", "STRING")), partition_column="usage_date")

    change = await bench.warehouse.ensure(bench.usage, wider)

    assert change == SchemaChange(columns_added=("team",))
    assert await bench.rows("SELECT model, team FROM usage") == [("a", None)]


async def test_a_widened_table_takes_the_new_column(bench: Bench) -> None:
    wider = TableSchema("usage", (*USAGE.columns, Column("team", "STRING")), partition_column="usage_date")
    await bench.warehouse.ensure(bench.usage, wider)

    await bench.load(pa.record_batch({"usage_date": pa.array([DAY], pa.date32()), "team": ["x"]}))

    assert await bench.rows("SELECT team FROM usage") == [("x",)]


async def test_a_column_in_the_middle_is_added_at_the_end(bench: Bench) -> None:
    await bench.table(TableSchema("t", (Column("a", "INT64"), Column("c", "INT64"))))

    change = await bench.warehouse.ensure(
        bench.org.table("t"), TableSchema("t", (Column("a", "INT64"), Column("b", "INT64"), Column("c", "INT64")))
    )

    assert change.columns_added == ("b",)
    assert (await bench.rows("SELECT COUNT(*) FROM t WHERE b IS NULL")) == [(0,)]


async def test_a_column_that_is_gone_from_the_schema_stays(bench: Bench) -> None:
    await bench.table(TableSchema("t", (Column("a", "INT64"), Column("b", "INT64"))))

    change = await bench.warehouse.ensure(bench.org.table("t"), TableSchema("t", (Column("a", "INT64"),)))

    assert change == SchemaChange()
    assert await bench.rows("SELECT b FROM t") == []


async def test_a_field_of_a_struct_is_added(bench: Bench) -> None:
    old = Column("owner", "STRUCT", fields=(Column("team", "STRING"),))
    new = Column("owner", "STRUCT", fields=(Column("team", "STRING"), Column("cost", "NUMERIC")))
    table = await bench.table(TableSchema("t", (old,)))
    await bench.load(pa.RecordBatch.from_pylist([{"owner": {"team": "x"}}]), table=table)

    change = await bench.warehouse.ensure(table, TableSchema("t", (new,)))

    assert change.columns_added == ("owner.cost",)
    assert await bench.rows("SELECT owner.team, owner.cost FROM t") == [("x", None)]


async def test_a_field_of_a_repeated_struct_is_added(bench: Bench) -> None:
    def credit(*fields: Column) -> TableSchema:
        return TableSchema("t", (Column("credits", "STRUCT", "REPEATED", fields=fields),))

    table = await bench.table(credit(Column("name", "STRING")))
    await bench.load(pa.RecordBatch.from_pylist([{"credits": [{"name": "x"}]}]), table=table)

    await bench.warehouse.ensure(table, credit(Column("name", "STRING"), Column("amount", "NUMERIC")))

    assert await bench.rows("SELECT c.name, c.amount FROM t, UNNEST(credits) AS c") == [("x", None)]


REFUSED = [
    (Column("a", "STRING"), "column a is INT64 and cannot become STRING"),
    (Column("a", "NUMERIC"), "column a is INT64 and cannot become NUMERIC"),
    (Column("a", "INT64", "REPEATED"), "column a is NULLABLE and cannot become REPEATED"),
    (Column("a", "INT64", "REQUIRED"), "column a is NULLABLE and cannot become REQUIRED"),
    (Column("b", "INT64", "REQUIRED"), "column b is new and REQUIRED"),
]


@pytest.mark.parametrize(("column", "reason"), REFUSED, ids=[reason for _column, reason in REFUSED])
async def test_refused(bench: Bench, column: Column, reason: str) -> None:
    table = await bench.table(TableSchema("t", (Column("a", "INT64"),)))

    with pytest.raises(SchemaMismatch, match=reason) as caught:
        await bench.warehouse.ensure(table, TableSchema("t", (column,)))

    assert "a type change needs a new table" in (caught.value.hint or "").lower()


async def test_every_fault_is_named_and_nothing_is_added(bench: Bench) -> None:
    table = await bench.table(TableSchema("t", (Column("a", "INT64"), Column("b", "INT64"))))
    wanted = TableSchema("t", (Column("a", "STRING"), Column("b", "BOOL"), Column("c", "INT64")))

    with pytest.raises(SchemaMismatch, match=r"column a is .*column b is"):
        await bench.warehouse.ensure(table, wanted)

    assert await bench.warehouse.ensure(table, TableSchema("t", (Column("c", "INT64"),))) == SchemaChange(
        columns_added=("c",)
    )


async def test_an_unknown_type_is_named(bench: Bench) -> None:
    with pytest.raises(SchemaMismatch, match="column a: type MONEY is not known"):
        await bench.table(TableSchema("t", (Column("a", "MONEY"),)))

    assert "t" not in await bench.warehouse.tables(bench.org.dataset)


async def test_older_type_names_are_the_same_types(bench: Bench) -> None:
    await bench.table(TableSchema("t", (Column("a", "INTEGER"),)))

    assert (
        await bench.warehouse.ensure(bench.org.table("t"), TableSchema("t", (Column("a", "INT64"),))) == SchemaChange()
    )


async def test_names_are_quoted(bench: Bench) -> None:
    await bench.table(TableSchema("order", (Column("group", "STRING"), Column("select", "INT64"))))

    assert await bench.rows("SELECT `group`, `select` FROM `order`") == []


async def test_drop_is_idempotent(bench: Bench) -> None:
    for _ in range(2):
        await bench.warehouse.drop(bench.usage)

    assert await bench.warehouse.tables(bench.org.dataset) == ["usage_rejects"]


async def test_a_dropped_table_can_be_made_with_another_type(bench: Bench) -> None:
    table = await bench.table(TableSchema("t", (Column("a", "INT64"),)))
    await bench.warehouse.drop(table)

    assert await bench.warehouse.ensure(table, TableSchema("t", (Column("a", "STRING"),))) == SchemaChange(created=True)


async def test_drop_dataset_is_idempotent(bench: Bench) -> None:
    for _ in range(2):
        await bench.warehouse.drop_dataset(bench.org.dataset)

    assert await bench.warehouse.tables(bench.org.dataset) == []
    assert await bench.warehouse.ensure_dataset(bench.org.dataset)
