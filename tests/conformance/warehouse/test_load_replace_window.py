from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pyarrow as pa
import pytest

from convergence.catalog.schemas import Column, TableSchema
from convergence.errors import SchemaMismatch
from convergence.kit.window import Window
from convergence.warehouse import WriteMode
from convergence.warehouse.arrow import build_arrow_schema

from .conftest import DAY, DAYS, LAST, NEXT, REJECTS, Bench, claim, rejects, usage


async def test_only_the_window_is_replaced(bench: Bench) -> None:
    await bench.replace(usage((DAY, "old", 1, "1"), (NEXT, "old", 1, "1"), (LAST, "old", 1, "1")))

    await bench.replace(usage((NEXT, "new", 2, "2")), window=Window.day(NEXT))

    assert [row[:2] for row in await bench.all()] == [(DAY, "old"), (NEXT, "new"), (LAST, "old")]


async def test_days_that_bring_no_rows_are_emptied(bench: Bench) -> None:
    await bench.replace(usage((DAY, "old", 1, "1"), (NEXT, "old", 1, "1")))

    await bench.replace(usage((NEXT, "new", 1, "1")))

    assert [row[:2] for row in await bench.all()] == [(NEXT, "new")]


async def test_no_batches_empty_the_window(bench: Bench) -> None:
    await bench.replace(usage((DAY, "old", 1, "1")))

    loaded = await bench.replace()

    assert (loaded.rows, loaded.days_replaced) == (0, (DAY, NEXT, LAST))
    assert await bench.all() == []


async def test_twice_is_once_and_equal_rows_stay(bench: Bench) -> None:
    for _ in range(2):
        await bench.replace(usage((DAY, "a", 1, "1"), (DAY, "a", 1, "1")))

    assert len(await bench.all()) == 2


async def test_a_row_outside_the_window_is_named(bench: Bench) -> None:
    await bench.replace(usage((DAY, "old", 1, "1")))

    with pytest.raises(SchemaMismatch, match=r"column usage_date: row 1 is 2026-01-04, outside \[2026-01-01"):
        await bench.replace(usage((DAY, "a", 1, "1"), (DAYS.end, "a", 1, "1")))

    assert [row[1] for row in await bench.all()] == ["old"]


async def test_a_row_before_the_window_is_refused(bench: Bench) -> None:
    with pytest.raises(SchemaMismatch, match="outside"):
        await bench.replace(usage((DAY - timedelta(days=1), "a", 1, "1")))


async def test_a_failure_in_the_middle_keeps_the_old_rows(bench: Bench) -> None:
    await bench.replace(usage((DAY, "old", 1, "1")))

    with pytest.raises(RuntimeError):
        await bench.replace(usage((DAY, "new", 1, "1")), RuntimeError("gone"))

    assert [row[1] for row in await bench.all()] == ["old"]


async def test_it_needs_a_window(bench: Bench) -> None:
    with pytest.raises(SchemaMismatch, match="replace_window needs a window"):
        await bench.load(usage(), mode=WriteMode.REPLACE_WINDOW)


async def test_it_needs_a_partition_column(bench: Bench) -> None:
    table = await bench.table(TableSchema("flat", (Column("a", "INT64"),)))

    with pytest.raises(SchemaMismatch, match="needs a partition column"):
        await bench.replace(pa.record_batch({"a": [1]}), table=table)


async def test_rejects_are_replaced_with_their_day(bench: Bench) -> None:
    await bench.replace(usage((DAY, "a", 1, "1")), rejects=rejects((DAY, "one"), (NEXT, "two")))

    loaded = await bench.replace(usage((DAY, "a", 1, "1")), window=Window.day(DAY), rejects=rejects((DAY, "three")))

    assert loaded.rejected == 1
    assert await bench.rows("SELECT reason FROM usage_rejects ORDER BY 1") == [("three",), ("two",)]


async def test_without_rejects_the_old_ones_go(bench: Bench) -> None:
    await bench.replace(usage((DAY, "a", 1, "1")), rejects=rejects((DAY, "one")))

    await bench.replace(usage((DAY, "a", 1, "1")))

    assert await bench.rows("SELECT COUNT(*) FROM usage_rejects") == [(0,)]


async def test_rejects_outside_the_window_are_refused(bench: Bench) -> None:
    with pytest.raises(SchemaMismatch, match=r"usage_rejects.*outside"):
        await bench.replace(usage(), rejects=rejects((DAYS.end, "late")))


async def test_rejects_need_their_table(bench: Bench) -> None:
    table = await bench.table(TableSchema("lone", (Column("usage_date", "DATE"),), partition_column="usage_date"))

    with pytest.raises(SchemaMismatch, match="lone_rejects does not exist"):
        await bench.replace(table=table, rejects=rejects((DAY, "x")))


async def test_30_days_of_1000_rows(bench: Bench) -> None:
    window = Window(DAY, DAY + timedelta(days=30))
    batches = [usage(*((day, f"m{n % 7}", n, "0.000000001") for n in range(1000))) for day in window.days()]

    loaded = await bench.replace(*batches, window=window, claim=claim())

    assert (loaded.rows, len(loaded.days_replaced)) == (30_000, 30)
    assert await bench.rows("SELECT COUNT(*), SUM(amount) FROM usage") == [(30_000, Decimal("0.000030000"))]


async def test_streams_that_share_a_table_replace_their_own_rows_only(bench: Bench) -> None:
    schema = replace(REJECTS, columns=(*REJECTS.columns, Column("model", "STRING")))
    await bench.warehouse.ensure(bench.usage.rejects, schema)
    for model in ("a", "b"):
        mine = replace(claim(stream_=f"test.{model}"), part=("model", model))
        bad = pa.Table.from_pylist([{"usage_date": DAY, "model": model}], schema=build_arrow_schema(schema))
        await bench.replace(usage((DAY, model, 1, "1"), (NEXT, model, 1, "1")), claim=mine, rejects=bad)

    newer = replace(claim(2, "second", stream_="test.a"), part=("model", "a"))
    loaded = await bench.replace(usage((DAY, "a", 5, "5"), (NEXT, "a", 1, "1")), claim=newer)

    assert loaded.days_replaced == (DAY,)
    assert [row[:3] for row in await bench.all()] == [(DAY, "a", 5), (DAY, "b", 1), (NEXT, "a", 1), (NEXT, "b", 1)]
    assert await bench.rows("SELECT model FROM usage_rejects") == [("b",)]
