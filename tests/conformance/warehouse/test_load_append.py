from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest

from convergence.errors import SchemaMismatch, StatementFailed
from convergence.warehouse import WriteMode

from .conftest import DAY, NEXT, Bench, claim, usage

ROW = (DAY, "gpt-4o", 10, Decimal("1.500000000"))


async def test_rows_are_added(bench: Bench) -> None:
    await bench.load(usage((DAY, "gpt-4o", 10, "1.5")))
    loaded = await bench.load(usage((DAY, "gpt-4o", 10, "1.5")))

    assert loaded.rows == 1
    assert await bench.all() == [ROW, ROW]


async def test_no_batches_add_nothing(bench: Bench) -> None:
    loaded = await bench.load()

    assert loaded.rows == 0
    assert await bench.all() == []


async def test_an_empty_batch_adds_nothing(bench: Bench) -> None:
    assert (await bench.load(usage())).rows == 0


async def test_several_batches_are_one_load(bench: Bench) -> None:
    loaded = await bench.load(usage((DAY, "a", 1, "1")), usage((NEXT, "b", 2, "2"), (NEXT, "c", 3, "3")))

    assert loaded.rows == 3
    assert [row[1] for row in await bench.all()] == ["a", "b", "c"]


async def test_missing_columns_are_null(bench: Bench) -> None:
    await bench.load(pa.record_batch({"usage_date": pa.array([DAY], pa.date32())}))

    assert await bench.all() == [(DAY, None, None, None)]


async def test_columns_come_in_any_order(bench: Bench) -> None:
    batch = pa.record_batch({"model": ["a"], "tokens": [7], "usage_date": pa.array([DAY], pa.date32())})

    await bench.load(batch)

    assert await bench.all() == [(DAY, "a", 7, None)]


async def test_an_unknown_column_is_named(bench: Bench) -> None:
    batch = pa.record_batch({"usage_date": pa.array([DAY], pa.date32()), "colour": ["red"], "size": [1]})

    with pytest.raises(SchemaMismatch, match="usage: no column colour, size"):
        await bench.load(batch)


async def test_null_in_a_required_column_names_its_row(bench: Bench) -> None:
    batch = pa.record_batch({"usage_date": pa.array([DAY, None], pa.date32())})

    with pytest.raises(SchemaMismatch, match="column usage_date is REQUIRED and row 3 is NULL"):
        await bench.load(usage((DAY, "a", 1, None), (DAY, "b", 1, None)), batch)


async def test_a_missing_required_column_is_refused(bench: Bench) -> None:
    with pytest.raises(SchemaMismatch, match="usage_date is REQUIRED"):
        await bench.load(pa.record_batch({"model": ["a"]}))


async def test_a_failure_in_the_middle_leaves_nothing(bench: Bench) -> None:
    with pytest.raises(RuntimeError, match="the network is gone"):
        await bench.load(usage((DAY, "a", 1, "1")), RuntimeError("the network is gone"))

    assert await bench.all() == []


async def test_a_table_that_is_not_there_is_named(bench: Bench) -> None:
    with pytest.raises(StatementFailed, match=r"acme_dev\.nowhere does not exist"):
        await bench.load(usage(), table=bench.org.table("nowhere"))


async def test_a_claim_makes_it_repeatable(bench: Bench) -> None:
    await bench.load(usage((DAY, "gpt-4o", 10, "1.5")), claim=claim(load_id="a"))
    await bench.load(usage((DAY, "gpt-4o", 10, "1.5")), claim=claim(load_id="b"))

    await bench.load(usage((DAY, "gpt-4o", 10, "1.5")), claim=claim(load_id="a"))

    assert await bench.all() == [ROW, ROW]


async def test_100_000_rows(bench: Bench) -> None:
    size = 100_000
    batch = pa.record_batch(
        {"usage_date": pa.array([DAY] * size, pa.date32()), "tokens": pa.array(range(size), pa.int64())}
    )

    loaded = await bench.load(batch, mode=WriteMode.APPEND)

    assert loaded.rows == size
    assert await bench.rows("SELECT COUNT(*), SUM(tokens) FROM usage") == [(size, size * (size - 1) // 2)]
