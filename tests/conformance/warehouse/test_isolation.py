"""Two organizations: neither can read, name or find the other's tables."""

from __future__ import annotations

import pytest

from convergence.errors import QueryRejected, StatementFailed
from convergence.sql import Statement
from convergence.tenancy import OrgScope

from .conftest import DAY, USAGE, Bench, stream, usage


@pytest.fixture
async def rival(bench: Bench) -> Bench:
    made = Bench(bench.warehouse, OrgScope("rival"))
    await made.warehouse.ensure_dataset(made.org.dataset)
    await made.warehouse.ensure(made.usage, USAGE)
    await made.load(usage((DAY, "secret", 1, "1")))
    return made


NAMES = ["rival_dev.usage", "`rival_dev.usage`", "rival_dev.main.usage", "`rival_dev`.usage", "RIVAL_DEV.usage"]


@pytest.mark.parametrize("name", NAMES)
async def test_read_cannot_name_another_dataset(bench: Bench, rival: Bench, name: str) -> None:
    with pytest.raises(QueryRejected, match="not in dataset acme_dev"):
        await bench.read(f"SELECT * FROM {name}")


@pytest.mark.parametrize("name", NAMES)
async def test_query_cannot_name_another_dataset(bench: Bench, rival: Bench, name: str) -> None:
    with pytest.raises(StatementFailed, match="not in dataset acme_dev"):
        await bench.rows(f"SELECT * FROM {name}")


async def test_execute_cannot_write_another_dataset(bench: Bench, rival: Bench) -> None:
    with pytest.raises(StatementFailed, match="not in dataset acme_dev"):
        await bench.execute("DELETE FROM rival_dev.usage WHERE TRUE")

    assert len(await rival.all()) == 1


async def test_the_same_table_name_is_two_tables(bench: Bench, rival: Bench) -> None:
    await bench.load(usage((DAY, "mine", 1, "1")))

    assert [row[1] for row in await bench.all()] == ["mine"]
    assert [row[1] for row in await rival.all()] == ["secret"]
    assert await bench.read("SELECT model FROM usage") == [("mine",)]


async def test_dropping_one_dataset_leaves_the_other(bench: Bench, rival: Bench) -> None:
    await bench.warehouse.drop_dataset(bench.org.dataset)

    assert [row[1] for row in await rival.all()] == ["secret"]


async def test_claims_of_two_organizations_do_not_meet(bench: Bench, rival: Bench) -> None:
    from .conftest import claim

    await bench.replace(usage((DAY, "a", 1, "1")), claim=claim(fence=9))

    loaded = await rival.replace(usage((DAY, "a", 1, "1")), claim=claim(fence=1))

    assert loaded.rows == 1


async def test_only_platform_code_joins_two_datasets(bench: Bench, rival: Bench) -> None:
    statement = Statement("SELECT model FROM theirs", bench.org.dataset, tables={"theirs": rival.usage})

    found = await bench.warehouse.query(statement)

    assert found.column(0).to_pylist() == ["secret"]


async def test_a_load_goes_to_its_own_table(bench: Bench, rival: Bench) -> None:
    from convergence.warehouse import WriteMode

    await bench.warehouse.load(bench.usage, stream(usage((DAY, "x", 1, "1"))), mode=WriteMode.OVERWRITE)

    assert [row[1] for row in await rival.all()] == ["secret"]
