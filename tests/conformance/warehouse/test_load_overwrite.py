from __future__ import annotations

from decimal import Decimal

import pytest

from convergence.errors import LeaseLost
from convergence.warehouse import WriteMode

from .conftest import DAY, NEXT, Bench, claim, usage

OVERWRITE = WriteMode.OVERWRITE


async def test_all_rows_are_replaced(bench: Bench) -> None:
    await bench.load(usage((DAY, "old", 1, "1"), (NEXT, "old", 1, "1")))

    await bench.load(usage((DAY, "new", 2, "2")), mode=OVERWRITE)

    assert await bench.all() == [(DAY, "new", 2, Decimal("2.000000000"))]


async def test_nothing_empties_the_table(bench: Bench) -> None:
    await bench.load(usage((DAY, "old", 1, "1")))

    loaded = await bench.load(mode=OVERWRITE)

    assert loaded.rows == 0
    assert await bench.all() == []


async def test_twice_is_once(bench: Bench) -> None:
    for _ in range(2):
        await bench.load(usage((DAY, "a", 1, "1"), (DAY, "a", 1, "1")), mode=OVERWRITE)

    assert len(await bench.all()) == 2


async def test_a_failure_in_the_middle_keeps_the_old_rows(bench: Bench) -> None:
    await bench.load(usage((DAY, "old", 1, "1")))

    with pytest.raises(RuntimeError):
        await bench.load(usage((DAY, "new", 1, "1")), RuntimeError("gone"), mode=OVERWRITE)

    assert [row[1] for row in await bench.all()] == ["old"]


async def test_an_older_fence_is_refused(bench: Bench) -> None:
    await bench.load(usage((DAY, "new", 1, "1")), mode=OVERWRITE, claim=claim(fence=2))

    with pytest.raises(LeaseLost):
        await bench.load(usage((DAY, "old", 1, "1")), mode=OVERWRITE, claim=claim(fence=1))

    assert [row[1] for row in await bench.all()] == ["new"]
