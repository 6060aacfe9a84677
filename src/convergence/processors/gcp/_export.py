"""The tables of an organization's billing export as rows of ours, a few load partitions at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import date
from typing import TYPE_CHECKING

from convergence.catalog.schemas import TableSchema
from convergence.errors import ProviderRejected, StepFailed
from convergence.integrations.billing_export import choose_tables, open_reader, read_place
from convergence.integrations.service_account import parse_key
from convergence.kit.window import Window
from convergence.processors.gcp._billing_rows import TABLE, BillingRows, build_rows, empty_rows, export_columns
from convergence.steps import StepContext
from convergence.steps.loading import Fetched

if TYPE_CHECKING:
    from convergence.warehouse.bigquery.exports import ExportReader, ExportTable, Reading

PROVIDER = "gcp"
MOST_ROWS = 100_000  # in memory at a time, unless one partition has more


class BillingExport:
    """What one organization's service account reads. `bytes` of a query are limited by the reader."""

    def __init__(self, context: StepContext, reader: ExportReader, tables: list[ExportTable]) -> None:
        self._reader = reader
        self._tables = tables
        self._schema: TableSchema = context.catalog.schema(TABLE)

    @property
    def tables(self) -> tuple[str, ...]:
        return tuple(table.table for table in self._tables)

    @property
    def missing(self) -> tuple[str, ...]:
        """Columns that an export lacks: it is older than they are."""
        known = export_columns(self._schema)
        lacking = {name for table in self._tables for name in known if name not in table.columns}
        return tuple(name for name in known if name in lacking)

    async def cut(self, whole: Window) -> list[Window]:
        """The window in parts of at most MOST_ROWS rows where a partition allows, oldest first."""
        sizes: dict[date, int] = {}
        for table in self._tables:
            for day, rows in (await self._reader.sizes(_reading(table, [], whole))).items():
                sizes[day] = sizes.get(day, 0) + rows
        return list(cut_window(whole, sizes))

    async def read(self, window: Window, /) -> Fetched:
        """The rows of every table.

        Raises:
            StepFailed: two tables hold the same account: every amount would count twice.
        """
        import pyarrow as pa

        parts = [(table, await self._read_table(table, window)) for table in self._tables]
        check_accounts(parts)
        rows = pa.concat_tables([empty_rows(self._schema), *(part.rows for _, part in parts)])
        return Fetched(window, rows, [reject for _, part in parts for reject in part.rejects])

    async def _read_table(self, table: ExportTable, window: Window) -> BillingRows:
        columns = [name for name in export_columns(self._schema) if name in table.columns]
        found = await self._reader.read(_reading(table, columns, window))
        return await asyncio.to_thread(build_rows, found, self._schema, table.table)


@asynccontextmanager
async def open_export(context: StepContext, max_bytes: int | None) -> AsyncIterator[BillingExport]:
    """The export that the organization's integration names.

    Raises:
        StepFailed: there is no integration, or its metadata name no export.
        ProviderRejected: no access; the hint says what to grant.
    """
    key = parse_key(await context.credentials.reveal(context.tenant, PROVIDER))
    place = read_place(await context.credentials.given(context.tenant, PROVIDER))
    reader = open_reader(context.http, key, place, max_bytes=max_bytes)
    try:
        listed = () if place.tables else await reader.list_tables(place.project, place.dataset)
        chosen = choose_tables(place, listed)
        tables = [await reader.describe(place.project, place.dataset, name) for name in chosen]
        for table in tables:
            _check_columns(table)
        yield BillingExport(context, reader, tables)
    finally:
        await reader.close()


def _reading(table: ExportTable, columns: list[str], window: Window) -> Reading:
    from convergence.warehouse.bigquery.exports import Reading

    return Reading(table, columns, window)


def cut_window(whole: Window, sizes: dict[date, int]) -> Iterator[Window]:
    """Parts of at most MOST_ROWS rows; a day that has more is a part of its own."""
    start, held = whole.start, 0
    for day in whole.days():
        rows = sizes.get(day, 0)
        if day > start and held + rows > MOST_ROWS:
            yield Window(start, day)
            start, held = day, 0
        held += rows
    yield Window(start, whole.end)


def check_accounts(parts: list[tuple[ExportTable, BillingRows]]) -> None:
    """
    Raises:
        StepFailed: export_twice: two tables hold the same account.
    """
    owner: dict[str, str] = {}
    for table, part in parts:
        for account in part.rows["billing_account_id"].unique().to_pylist():
            other = owner.setdefault(account or "", table.table)
            if other != table.table:
                raise StepFailed(
                    f"{other} and {table.table} both hold billing account {account}: every amount would count twice",
                    code="export_twice",
                    hint="Keep one of them: the standard export, or the detailed one. Set the integration up again.",
                )


def _check_columns(table: ExportTable) -> None:
    needed = ("cost", "currency", "credits", "usage_start_time")
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise ProviderRejected(
            f"table {table.path} has no column {', '.join(missing)}",
            code="export_refused",
            hint="Name the table of a Cloud Billing export (standard or detailed), not of pricing or FOCUS.",
        )
