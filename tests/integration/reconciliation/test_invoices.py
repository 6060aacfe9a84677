"""Invoices as they are kept: each whole, the same one untouched, several uploads at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from convergence.costs.reconciliation.invoices import KEYS, TABLE, Stored, read_invoice_lines, store_invoices
from convergence.costs.records import RecordTable
from convergence.kit.clock import SystemClock
from convergence.state.memory import MemoryStateStore

from .conftest import Books

HEADER = "InvoiceId,ReferenceInvoiceId,BilledCost,BillingPeriodStart,BillingPeriodEnd,BillingCurrency"
PERIOD = "2026-10-01,2026-11-01,USD"


class Desk:
    """Where uploads arrive. Each has a run of its own."""

    def __init__(self, books: Books) -> None:
        self.table = RecordTable.of(books.warehouse, books.catalog, books.org, TABLE, KEYS)
        self._state = MemoryStateStore()
        self._runs = 0

    async def upload(self, *rows: str, provider: str = "openai") -> Stored:
        self._runs += 1
        text = "\n".join([HEADER, *(f"{row},{PERIOD}" for row in rows)])
        lines = read_invoice_lines(text, provider, f"{self._runs:064}")
        moment = datetime(2026, 11, self._runs, tzinfo=UTC)
        lineage = {
            "ingestion_date": moment.date(),
            "ingestion_timestamp": moment,
            "pipeline_logging_id": f"run_{self._runs}",
        }
        return await store_invoices(self.table, self._state, SystemClock(), lines, lineage)

    async def rows(self) -> list[tuple[Any, ...]]:
        shown = ("x_Provider", "InvoiceId", "BilledCost", "x_SupersededBy", "pipeline_logging_id")
        return [tuple(row[name] for name in shown) for row in await self.table.rows()]


@pytest.fixture
def desk(books: Books) -> Desk:
    return Desk(books)


async def test_what_is_the_same_keeps_the_rows_that_it_has(desk: Desk) -> None:
    await desk.upload("A,A,10", "A,A,5", "B,B,7")
    again = await desk.upload("A,A,10.00", "A,A,5", "B,B,8")
    assert again == Stored(replaced=("B",), unchanged=("A",))
    assert await desk.rows() == [
        ("openai", "A", Decimal(10), None, "run_1"),
        ("openai", "A", Decimal(5), None, "run_1"),
        ("openai", "B", Decimal(8), None, "run_2"),
    ]


async def test_an_invoice_that_comes_again_shorter_leaves_no_line_behind(desk: Desk) -> None:
    await desk.upload("A,A,10", "A,A,5")
    await desk.upload("A,A,12")
    assert await desk.rows() == [("openai", "A", Decimal(12), None, "run_2")]


async def test_a_successor_marks_what_was_there_before_it(desk: Desk) -> None:
    await desk.upload("A,A,10")
    await desk.upload("B,A,9")
    await desk.upload("A,A,1", provider="anthropic")
    assert [(row[0], row[1], row[3]) for row in await desk.rows()] == [
        ("anthropic", "A", None),
        ("openai", "A", "B"),
        ("openai", "B", None),
    ]


async def test_uploads_at_the_same_moment_are_all_kept(desk: Desk) -> None:
    await asyncio.gather(*(desk.upload(f"{name},{name},1") for name in "ABCDEF"))
    assert [row[1] for row in await desk.rows()] == list("ABCDEF")
