"""BigQuery says what DuckDB says."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from bigquery_emulator import BigQueryEmulator

from convergence.tenancy import OrgScope
from convergence.warehouse.bigquery import BigQueryWarehouse

from .conftest import CATALOG, Books
from .test_reasons import CASES, FAIR


@pytest.fixture
async def bigquery_books(bigquery_emulator: BigQueryEmulator) -> AsyncIterator[Books]:
    warehouse = BigQueryWarehouse(bigquery_emulator.project(), endpoint=bigquery_emulator.endpoint)
    org = OrgScope("acme")
    await warehouse.ensure_dataset(org.dataset)
    yield Books(warehouse, CATALOG, org)
    await warehouse.close()


async def test_bigquery_reconciles_as_duckdb_does(books: Books, bigquery_books: Books) -> None:
    above_half = {**CASES["batch"][0], "model": "gpt-5-nano", "billed_cost": "20", "list_cost": "50"}
    found = []
    for one in (books, bigquery_books):
        await one.costs(FAIR, above_half, *(row for row, _ in CASES.values()))
        await one.invoices({"BilledCost": "200"}, {"BilledCost": "19", "ChargeCategory": "Tax"})
        found.append(await one.reconcile("month"))
    assert found[0] == found[1]
    assert {*CASES, "unknown"} <= found[0][0].explained_by.keys()
