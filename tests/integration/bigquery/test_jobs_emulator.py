"""Jobs over an engine that really runs them."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bigquery_emulator import LOCATION, BigQueryEmulator
from google.cloud import bigquery

from convergence.errors import StatementFailed
from convergence.warehouse.bigquery.jobs import Jobs

COSTS = [bigquery.SchemaField("model", "STRING"), bigquery.SchemaField("amount", "NUMERIC")]


@pytest.fixture
def client(bigquery_emulator: BigQueryEmulator) -> Iterator[bigquery.Client]:
    with contextlib.closing(bigquery_emulator.client(bigquery_emulator.project())) as made:
        made.create_dataset("costs")
        yield made


@pytest.fixture
def jobs(client: bigquery.Client) -> Iterator[Jobs]:
    made = Jobs(client, location=LOCATION)
    yield made
    made.close()


@pytest.fixture
async def usage(client: bigquery.Client, jobs: Jobs) -> bigquery.TableReference:
    reference = dataset(client).table("usage")
    await jobs.call(lambda: client.create_table(bigquery.Table(reference, COSTS)))
    return reference


def dataset(client: bigquery.Client) -> bigquery.DatasetReference:
    return bigquery.DatasetReference(client.project, "costs")


def parquet(*rows: tuple[str, str]) -> io.BytesIO:
    schema = pa.schema([("model", pa.string()), ("amount", pa.decimal128(38, 9))])
    table = pa.Table.from_pylist([{"model": model, "amount": Decimal(text)} for model, text in rows], schema=schema)
    file = io.BytesIO()
    pq.write_table(table, file)
    return file


async def rows(jobs: Jobs, sql: str, **options) -> list[tuple]:
    job = await jobs.query(sql, **options)
    return [tuple(row) for row in await jobs.call(lambda: list(job.result()))]


async def load(jobs: Jobs, table: bigquery.TableReference, *content: tuple[str, str], key: str = "a"):
    return await jobs.load(parquet(*content), table, key=key, schema=COSTS, write_disposition="WRITE_APPEND")


async def test_rows_come_back_with_their_cents(client, jobs, usage):
    await load(jobs, usage, ("gpt", "0.000000001"), ("gpt", "12345678901234567890.5"))

    assert await rows(jobs, "SELECT SUM(amount) FROM costs.usage") == [(Decimal("12345678901234567890.500000001"),)]


async def test_a_load_that_is_asked_for_twice_lands_once(jobs, usage):
    first = await load(jobs, usage, ("gpt", "1"))
    second = await load(jobs, usage, ("gpt", "1"))

    assert await rows(jobs, "SELECT COUNT(*) FROM costs.usage") == [(1,)]
    assert (first.output_rows, second.output_rows, jobs.started["load"]) == (1, 1, 1)


async def test_two_who_ask_at_the_same_time_share_one_job(jobs, usage):
    insert = "BEGIN TRANSACTION; INSERT INTO costs.usage VALUES ('gpt', 1); COMMIT TRANSACTION;"
    await asyncio.gather(*[jobs.script(insert, key="publish") for _ in range(8)])

    assert await rows(jobs, "SELECT COUNT(*) FROM costs.usage") == [(1,)]


async def test_parameters_and_a_default_dataset(client, jobs, usage):
    await load(jobs, usage, ("gpt", "1"), ("claude", "2"))
    found = await rows(
        jobs,
        "SELECT amount FROM usage WHERE model = @model",
        parameters=[bigquery.ScalarQueryParameter("model", "STRING", "claude")],
        default_dataset=dataset(client),
    )

    assert found == [(Decimal(2),)]


async def test_a_faulty_statement_says_why(jobs):
    with pytest.raises(StatementFailed) as caught:
        await jobs.query("SELECT nothing FROM costs.missing")

    assert "missing" in caught.value.message
    assert jobs.started <= Counter(query=1)
