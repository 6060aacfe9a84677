from __future__ import annotations

from decimal import Decimal

import pytest

from convergence.errors import SchemaMismatch
from convergence.warehouse import WriteMode

from .conftest import DAY, NEXT, Bench, claim, usage

MERGE = WriteMode.MERGE
KEYS = ("usage_date", "model")


async def test_known_keys_are_replaced_and_new_ones_added(bench: Bench) -> None:
    await bench.load(usage((DAY, "a", 1, "1"), (DAY, "b", 1, "1")))

    await bench.load(usage((DAY, "b", 2, "2"), (NEXT, "b", 3, "3")), mode=MERGE, keys=KEYS)

    assert [row[1:3] for row in await bench.all()] == [("a", 1), ("b", 2), ("b", 3)]


async def test_twice_is_once(bench: Bench) -> None:
    for _ in range(2):
        await bench.load(usage((DAY, "a", 1, "1")), mode=MERGE, keys=KEYS)

    assert await bench.all() == [(DAY, "a", 1, Decimal("1.000000000"))]


async def test_null_keys_are_equal(bench: Bench) -> None:
    for tokens in (1, 2):
        await bench.load(usage((DAY, None, tokens, None)), mode=MERGE, keys=KEYS)

    assert await bench.all() == [(DAY, None, 2, None)]


async def test_null_is_not_the_empty_text(bench: Bench) -> None:
    await bench.load(usage((DAY, None, 1, None), (DAY, "", 2, None)), mode=MERGE, keys=KEYS)

    assert [row[1] for row in await bench.all()] == [None, ""]


async def test_a_missing_column_becomes_null(bench: Bench) -> None:
    await bench.load(usage((DAY, "a", 1, "1")))

    await bench.load(usage((DAY, "a", 1, "1")).drop_columns(["amount"]), mode=MERGE, keys=KEYS)

    assert await bench.all() == [(DAY, "a", 1, None)]


async def test_a_duplicate_key_in_the_source_is_named(bench: Bench) -> None:
    await bench.load(usage((DAY, "a", 1, "1")))

    with pytest.raises(SchemaMismatch, match=r"2 rows of the source have the key .*model='b'"):
        await bench.load(usage((DAY, "b", 1, "1"), (DAY, "b", 2, "2")), mode=MERGE, keys=KEYS)

    assert [row[1] for row in await bench.all()] == ["a"]


async def test_a_duplicate_null_key_is_found_over_batches(bench: Bench) -> None:
    with pytest.raises(SchemaMismatch, match="model=None"):
        await bench.load(usage((DAY, None, 1, "1")), usage((DAY, None, 2, "2")), mode=MERGE, keys=KEYS)


async def test_nothing_changes_nothing(bench: Bench) -> None:
    await bench.load(usage((DAY, "a", 1, "1")))

    await bench.load(mode=MERGE, keys=KEYS)

    assert len(await bench.all()) == 1


@pytest.mark.parametrize(("keys", "reason"), [((), "merge needs keys"), (("model", "nope"), "no column nope")])
async def test_keys_are_columns(bench: Bench, keys: tuple[str, ...], reason: str) -> None:
    with pytest.raises(SchemaMismatch, match=reason):
        await bench.load(usage((DAY, "a", 1, "1")), mode=MERGE, keys=keys)


async def test_with_a_claim_it_is_in_the_ledger(bench: Bench) -> None:
    for _ in range(2):
        await bench.load(usage((DAY, "a", 1, "1")), mode=MERGE, keys=KEYS, claim=claim())

    assert len(await bench.all()) == 1
    assert await bench.rows("SELECT COUNT(*) FROM _load_ledger") == [(2,)]
