"""Loads, readers and definitions at the same time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pyarrow as pa

from convergence.catalog.schemas import Column, TableSchema
from convergence.errors import LeaseLost, TransientError
from convergence.kit.window import Window
from convergence.warehouse import WriteMode

from .conftest import DAY, NEXT, Bench, claim, stream, usage

ONE = Window.day(DAY)


def rows_of(owner: str, count: int = 50) -> pa.RecordBatch:
    return usage(*((DAY, owner, n, "1") for n in range(count)))


async def test_two_concurrent_first_loads_leave_one_set_of_rows(bench: Bench) -> None:
    results = await asyncio.gather(
        *(
            bench.replace(rows_of(f"owner-{fence}"), window=ONE, claim=claim(fence, f"load-{fence}"))
            for fence in range(1, 9)
        ),
        return_exceptions=True,
    )

    owners = Counter(row[1] for row in await bench.all())
    assert owners == {"owner-8": 50}
    assert all(isinstance(result, LeaseLost) or not isinstance(result, Exception) for result in results)


async def test_concurrent_loads_without_a_claim_leave_one_set_of_rows(bench: Bench) -> None:
    await asyncio.gather(*(bench.replace(rows_of(f"owner-{n}"), window=ONE) for n in range(6)))

    assert list(Counter(row[1] for row in await bench.all()).values()) == [50]


async def test_concurrent_merges_of_one_key_leave_one_row(bench: Bench) -> None:
    await asyncio.gather(
        *(bench.load(usage((DAY, "a", n, "1")), mode=WriteMode.MERGE, keys=("usage_date", "model")) for n in range(8))
    )

    assert len(await bench.all()) == 1


async def test_concurrent_appends_all_land(bench: Bench) -> None:
    await asyncio.gather(*(bench.load(rows_of(f"owner-{n}", 5)) for n in range(8)))

    assert len(await bench.all()) == 40


async def test_different_days_both_land(bench: Bench) -> None:
    await asyncio.gather(
        bench.replace(usage((DAY, "a", 1, "1")), window=ONE, claim=claim()),
        bench.replace(usage((NEXT, "b", 1, "1")), window=Window.day(NEXT), claim=claim()),
    )

    assert [row[1] for row in await bench.all()] == ["a", "b"]


async def test_a_reader_sees_the_old_rows_or_the_new(bench: Bench) -> None:
    await bench.replace(rows_of("old", 100), window=ONE)
    seen: set[tuple[Any, ...]] = set()
    done = asyncio.Event()

    async def watch() -> None:
        while not done.is_set():
            seen.update(await bench.rows("SELECT ANY_VALUE(model), COUNT(DISTINCT model), COUNT(*) FROM usage"))

    watcher = asyncio.create_task(watch())
    for turn in range(10):
        await bench.replace(rows_of(f"turn-{turn}", 100), window=ONE)
    done.set()
    await watcher

    assert {row[1:] for row in seen} == {(1, 100)}


async def test_a_reader_during_the_load_sees_the_old_rows(bench: Bench) -> None:
    await bench.replace(rows_of("old", 3), window=ONE)
    seen: list[tuple[Any, ...]] = []

    async def slow() -> AsyncIterator[pa.RecordBatch]:
        yield rows_of("new", 3)
        seen.extend(await bench.rows("SELECT DISTINCT model FROM usage"))
        seen.extend(await bench.read("SELECT DISTINCT model FROM usage"))
        yield rows_of("new", 3)

    await bench.warehouse.load(bench.usage, slow(), mode=WriteMode.REPLACE_WINDOW, window=ONE)

    assert seen == [("old",), ("old",)]
    assert await bench.rows("SELECT model, COUNT(*) FROM usage GROUP BY 1") == [("new", 6)]


async def test_a_cancelled_load_leaves_the_old_rows(bench: Bench) -> None:
    await bench.replace(rows_of("old", 3), window=ONE)
    reached = asyncio.Event()

    async def stuck() -> AsyncIterator[pa.RecordBatch]:
        yield rows_of("new", 3)
        reached.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(bench.warehouse.load(bench.usage, stuck(), mode=WriteMode.REPLACE_WINDOW, window=ONE))
    await reached.wait()
    task.cancel()
    await asyncio.wait([task])

    assert {row[1] for row in await bench.all()} == {"old"}
    assert (await bench.replace(rows_of("next", 2), window=ONE)).rows == 2


async def test_the_event_loop_is_never_blocked(bench: Bench) -> None:
    ticks = 0
    size = 300_000
    batch = pa.record_batch(
        {"usage_date": pa.array([DAY] * size, pa.date32()), "model": [f"m{n}" for n in range(size)]}
    )

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.005)

    ticker = asyncio.create_task(tick())
    await bench.warehouse.load(bench.usage, stream(batch), mode=WriteMode.REPLACE_WINDOW, window=ONE, claim=claim())
    ticker.cancel()

    assert ticks > 5


async def test_widening_beside_loads_loses_nothing(bench: Bench) -> None:
    table = await bench.table(TableSchema("t", (Column("a", "INT64"),)))

    async def widen(number: int) -> None:
        await bench.warehouse.ensure(table, TableSchema("t", (Column("a", "INT64"), Column(f"c{number}", "STRING"))))

    async def load(number: int) -> None:
        await bench.load(pa.record_batch({"a": [number]}), table=table)

    outcomes = await asyncio.gather(*(widen(n) for n in range(4)), *(load(n) for n in range(8)), return_exceptions=True)

    assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []
    assert await bench.rows("SELECT COUNT(*), SUM(a) FROM t") == [(8, 28)]


async def test_counters_updated_at_once_add_up(bench: Bench) -> None:
    await bench.load(usage((DAY, "a", 0, "1")))

    async def add() -> None:
        for attempt in range(5):
            try:
                await bench.execute("UPDATE usage SET tokens = tokens + 1 WHERE model = 'a'")
            except TransientError:
                await asyncio.sleep(0.01 * attempt)
            else:
                return

    await asyncio.gather(*(add() for _ in range(20)))

    assert await bench.rows("SELECT tokens FROM usage") == [(20,)]
