"""What BigQuery's dry run says of a user's statement, and what is made of it: the emulator's says nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from fake_bigquery import PROJECT, FakeBigQuery, faking

from convergence.errors import QueryRejected
from convergence.sql import Statement
from convergence.tenancy import OrgScope
from convergence.warehouse.bigquery import BigQueryWarehouse, ReadLimits

ORG = OrgScope("acme")
OWN = f"{PROJECT}.acme_dev.usage"
PROFILES = f"{PROJECT}.organizations.org_profiles"


@pytest.fixture
def fake() -> Iterator[FakeBigQuery]:
    with faking(referenced_tables=(OWN,), bytes_processed=1000) as made:
        yield made


@asynccontextmanager
async def opened(fake: FakeBigQuery) -> AsyncIterator[BigQueryWarehouse]:
    limits = ReadLimits(seconds=7, billed_bytes=5000)
    warehouse = BigQueryWarehouse(PROJECT, endpoint=f"http://127.0.0.1:{fake.port}", read_limits=limits)
    yield warehouse
    await warehouse.close()


async def read(fake: FakeBigQuery, sql: str = "SELECT model FROM usage", max_bytes: int | None = None) -> None:
    async with opened(fake) as warehouse:
        await warehouse.read(Statement(sql, ORG.dataset), max_rows=10, max_bytes=max_bytes)


async def test_what_passes_runs_with_every_limit(fake: FakeBigQuery) -> None:
    await read(fake, max_bytes=2000)

    (job,) = fake.jobs.values()
    assert job["configuration"]["query"]["maximumBytesBilled"] == "2000"
    assert job["configuration"]["jobTimeoutMs"] == "7000"
    assert job["configuration"]["labels"] == {"dataset": "acme_dev", "purpose": "user_query"}
    assert fake.effects == [f"SELECT model FROM `{OWN}`"]


async def test_more_bytes_than_allowed_run_nothing(fake: FakeBigQuery) -> None:
    with pytest.raises(QueryRejected, match="would read 1000 bytes, the most is 999") as caught:
        await read(fake, max_bytes=999)

    assert (caught.value.code, fake.effects) == ("query_too_large", [])


async def test_the_platforms_own_limit_holds_without_a_callers(fake: FakeBigQuery) -> None:
    fake.bytes_processed = 5001

    with pytest.raises(QueryRejected, match="the most is 5000"):
        await read(fake)


@pytest.mark.parametrize("table", [PROFILES, f"{PROJECT}.rival_dev.usage", "elsewhere.acme_dev.usage"])
async def test_a_table_that_only_bigquery_sees_is_refused(fake: FakeBigQuery, table: str) -> None:
    fake.referenced_tables = (OWN, table)

    with pytest.raises(QueryRejected, match="is not in dataset acme_dev"):
        await read(fake)

    assert fake.effects == []


async def test_what_a_view_of_the_platform_reads_is_allowed(fake: FakeBigQuery) -> None:
    fake.referenced_tables = (PROFILES,)
    fake.views = {
        "outer_view": f"SELECT * FROM `{PROJECT}.acme_dev.inner_view`",
        "inner_view": f"SELECT 1 FROM `{PROFILES}`",
    }

    await read(fake, "SELECT * FROM outer_view")

    assert len(fake.effects) == 1


async def test_anything_but_a_select_is_refused(fake: FakeBigQuery) -> None:
    fake.statement_type = "SCRIPT"

    with pytest.raises(QueryRejected, match="only SELECT"):
        await read(fake)

    assert fake.effects == []
