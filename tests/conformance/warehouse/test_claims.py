"""Fences, the ledger, and days that are left as they are."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest

from convergence.catalog.schemas import Column, TableSchema
from convergence.errors import LeaseLost, SchemaMismatch
from convergence.kit.window import Window
from convergence.warehouse import Claim

from .conftest import DAY, DAYS, LAST, NEXT, USAGE, Bench, claim, rejects, usage

ONE = Window.day(DAY)
LEDGER = "SELECT day, fence, load_id, rows, outcome FROM _load_ledger ORDER BY committed_at, day"


async def test_every_day_has_a_scope(bench: Bench) -> None:
    await bench.replace(usage((DAY, "a", 1, "1.5"), (DAY, "b", 1, "0.25"), (LAST, "a", 1, "2")), claim=claim(fence=3))

    scopes = await bench.warehouse.scopes(bench.org.dataset, "openai.usage", DAYS)

    assert [(scope.day, scope.rows, scope.amount) for scope in scopes] == [
        (DAY, 2, Decimal("1.750000000")),
        (NEXT, 0, Decimal("0.000000000")),
        (LAST, 1, Decimal("2.000000000")),
    ]
    assert {(scope.stream, scope.fence, scope.load_id, scope.run_id) for scope in scopes} == {
        ("openai.usage", 3, "load-1", "run-1")
    }


async def test_days_never_loaded_are_absent(bench: Bench) -> None:
    await bench.replace(usage((DAY, "a", 1, "1")), window=ONE, claim=claim())

    assert len(await bench.warehouse.scopes(bench.org.dataset, "openai.usage", DAYS)) == 1
    assert await bench.warehouse.scopes(bench.org.dataset, "other", DAYS) == []


async def test_an_older_fence_writes_nothing(bench: Bench) -> None:
    await bench.replace(usage((DAY, "new", 1, "1")), claim=claim(fence=2))

    with pytest.raises(LeaseLost, match="fence 2 has published, this one is 1"):
        await bench.replace(usage((DAY, "zombie", 1, "1")), claim=claim(fence=1))

    assert [row[1] for row in await bench.all()] == ["new"]
    assert {row[1] for row in await bench.rows(LEDGER)} == {2}


async def test_one_fenced_day_refuses_the_whole_window(bench: Bench) -> None:
    await bench.replace(usage((LAST, "new", 1, "1")), window=Window.day(LAST), claim=claim(fence=2))

    with pytest.raises(LeaseLost):
        await bench.replace(usage((DAY, "zombie", 1, "1")), claim=claim(fence=1))

    assert [row[1] for row in await bench.all()] == ["new"]


async def test_the_same_fence_may_publish_again(bench: Bench) -> None:
    await bench.replace(usage((DAY, "a", 1, "1")), claim=claim())

    loaded = await bench.replace(usage((DAY, "b", 1, "1")), claim=claim())

    assert loaded.days_replaced == (DAY,)
    assert [row[1] for row in await bench.all()] == ["b"]


async def test_streams_do_not_meet(bench: Bench) -> None:
    other = await bench.table(TableSchema("other", USAGE.columns, partition_column="usage_date"))
    await bench.replace(usage((DAY, "a", 1, "1")), claim=claim(fence=9))

    loaded = await bench.replace(usage((DAY, "b", 1, "1")), table=other, claim=claim(fence=1, stream_="other"))

    assert loaded.rows == 1


async def test_unchanged_days_are_not_rewritten(bench: Bench) -> None:
    await bench.replace(usage((DAY, "a", 1, "1"), (NEXT, "a", 1, "1"), run="first"), claim=claim(1, "load-1"))

    loaded = await bench.replace(usage((NEXT, "b", 1, "1"), (DAY, "a", 1, "1"), run="second"), claim=claim(2, "load-2"))

    assert (loaded.rows, loaded.days_replaced, loaded.days_unchanged) == (2, (NEXT,), (DAY, LAST))
    assert await bench.rows("SELECT model, pipeline_logging_id FROM usage ORDER BY 1") == [
        ("a", "first"),
        ("b", "second"),
    ]


async def test_the_ledger_has_every_commit(bench: Bench) -> None:
    await bench.replace(usage((DAY, "a", 1, "1")), window=ONE, claim=claim(1, "load-1"))
    await bench.replace(usage((DAY, "a", 1, "1")), window=ONE, claim=claim(2, "load-2"))

    assert await bench.rows(LEDGER) == [(DAY, 1, "load-1", 1, "replaced"), (DAY, 2, "load-2", 1, "unchanged")]


async def test_an_unchanged_day_still_takes_the_fence(bench: Bench) -> None:
    for fence in (1, 5):
        await bench.replace(usage((DAY, "a", 1, "1")), window=ONE, claim=claim(fence, f"load-{fence}"))

    with pytest.raises(LeaseLost):
        await bench.replace(usage((DAY, "b", 1, "1")), window=ONE, claim=claim(4))

    (scope,) = await bench.warehouse.scopes(bench.org.dataset, "openai.usage", ONE)
    assert (scope.fence, scope.load_id) == (5, "load-1")


CHANGES = {
    "a value": ([(DAY, "a", 1, "1"), (DAY, "a", 2, "1")], ()),
    "a duplicate": ([(DAY, "a", 1, "1"), (DAY, "a", 1, "1"), (DAY, "b", 1, "1")], ()),
    "a missing row": ([(DAY, "a", 1, "1")], ()),
    "null for empty": ([(DAY, "a", 1, "1"), (DAY, None, 1, "1")], ()),
    "a swap between rows": ([(DAY, "b", 1, "1"), (DAY, "a", 1, "2")], ()),
    "the ninth place": ([(DAY, "a", 1, "1.000000001"), (DAY, "b", 1, "1")], ()),
    "a reject": ([(DAY, "a", 1, "1"), (DAY, "b", 1, "1")], ((DAY, "bad"),)),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_is_seen(bench: Bench, change: str) -> None:
    rows, bad = CHANGES[change]
    await bench.replace(usage((DAY, "a", 1, "1"), (DAY, "b", 1, "1")), window=ONE, claim=claim())

    loaded = await bench.replace(usage(*rows), window=ONE, claim=claim(), rejects=rejects(*bad))

    assert loaded.days_replaced == (DAY,)


async def test_the_order_of_rows_and_batches_is_no_change(bench: Bench) -> None:
    first, second = (DAY, "a", 1, "1"), (DAY, "b", 2, "2")
    await bench.replace(usage(first, second, second), window=ONE, claim=claim())

    loaded = await bench.replace(usage(second), usage(second, first), window=ONE, claim=claim())

    assert loaded.days_unchanged == (DAY,)


async def test_rows_lost_from_the_table_are_written_again(bench: Bench) -> None:
    await bench.replace(usage((DAY, "a", 1, "1")), window=ONE, claim=claim())
    await bench.execute("DELETE FROM usage WHERE TRUE")

    loaded = await bench.replace(usage((DAY, "a", 1, "1")), window=ONE, claim=claim())

    assert loaded.days_replaced == (DAY,)
    assert len(await bench.all()) == 1


async def test_an_empty_day_is_a_commit(bench: Bench) -> None:
    await bench.replace(window=ONE, claim=claim())

    (scope,) = await bench.warehouse.scopes(bench.org.dataset, "openai.usage", ONE)

    assert (scope.rows, scope.amount) == (0, Decimal(0))


async def test_an_empty_day_twice_is_unchanged(bench: Bench) -> None:
    await bench.replace(window=ONE, claim=claim())

    assert (await bench.replace(window=ONE, claim=claim())).days_unchanged == (DAY,)


async def test_without_an_amount_column_there_is_no_amount(bench: Bench) -> None:
    await bench.replace(usage((DAY, "a", 1, "1")), window=ONE, claim=Claim("s", "run", 1, "load"))

    (scope,) = await bench.warehouse.scopes(bench.org.dataset, "s", ONE)

    assert scope.amount is None


async def test_an_amount_column_that_is_not_there_is_named(bench: Bench) -> None:
    with pytest.raises(SchemaMismatch, match="no column nope"):
        await bench.replace(usage(), window=ONE, claim=Claim("s", "run", 1, "load", "nope"))


async def test_a_refused_row_leaves_no_scope(bench: Bench) -> None:
    with pytest.raises(SchemaMismatch):
        await bench.replace(pa.record_batch({"nope": [1]}), claim=claim())

    assert await bench.warehouse.scopes(bench.org.dataset, "openai.usage", DAYS) == []


async def test_internal_tables_are_not_listed(bench: Bench) -> None:
    await bench.replace(usage((DAY, "a", 1, "1")), claim=claim())

    assert await bench.warehouse.tables(bench.org.dataset) == ["usage", "usage_rejects"]


async def test_a_nested_column_counts(bench: Bench) -> None:
    nested = TableSchema(
        "nested",
        (Column("day", "DATE"), Column("owner", "STRUCT", fields=(Column("team", "STRING"),))),
        partition_column="day",
    )
    table = await bench.table(nested)
    batches = [
        pa.RecordBatch.from_pylist([{"day": DAY, "owner": {"team": team}}], schema=pa.schema(
            [("day", pa.date32()), ("owner", pa.struct([("team", pa.string())]))]
        ))
        for team in ("x", "y")
    ]  # fmt: skip
    await bench.replace(batches[0], table=table, window=ONE, claim=Claim("n", "r", 1, "l"))

    loaded = await bench.replace(batches[1], table=table, window=ONE, claim=Claim("n", "r", 1, "l"))

    assert loaded.days_replaced == (DAY,)
