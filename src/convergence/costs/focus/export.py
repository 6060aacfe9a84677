"""FOCUS rows as files of a version of the specification: a few days at a time, so that memory does not grow."""

from __future__ import annotations

import asyncio
import csv
import io
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any, Final

from convergence.catalog.schemas import LINEAGE_COLUMNS, Column
from convergence.costs.focus.build import TABLE, cut_days
from convergence.kit.jsontext import format_time
from convergence.kit.money import format_amount
from convergence.kit.window import Window
from convergence.sql import Statement
from convergence.tenancy import OrgScope
from convergence.warehouse import Warehouse

if TYPE_CHECKING:
    import pyarrow as pa

    from convergence.catalog import Catalog

VERSIONS: Final = ("1.2", "1.4")
FORMATS: Final = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
_PIECE_BYTES: Final = 1 << 20
_MOST_ROWS: Final = 10_000  # in memory at a time, unless one day has more
_TYPES: Final = {"NUMERIC": "NUMERIC", "BOOL": "BOOL", "DATE": "DATE", "TIMESTAMP": "TIMESTAMP"}


@dataclass(frozen=True, slots=True)
class FocusExport:
    """The rows of an organization's days in the columns of one version. Each day is as one commit left it."""

    warehouse: Warehouse
    catalog: Catalog
    org: OrgScope
    window: Window
    version: str = "1.4"

    def file_name(self, kind: str) -> str:
        return f"focus_{self.version}_{self.org.org_slug}_{self.window.start}_{self.window.last}.{kind}"

    async def parts(self) -> AsyncIterator[pa.Table]:
        """At least one table, without rows where there are none: it has the columns."""
        is_there = TABLE in await self.warehouse.tables(self.org.dataset)
        windows = cut_days(await self._count(), _MOST_ROWS) if is_there else []
        text = self.catalog.text(self.catalog.root, f"focus/sql/exports/{self.version}.sql")
        text = text if is_there else self._nothing(text)
        for window in windows or [Window.day(self.window.start)]:
            days = {"start_date": window.start, "end_date": window.end}
            yield await self.warehouse.query(Statement(text, self.org.dataset, days))

    def pieces(self, kind: str) -> AsyncIterator[bytes]:
        """The file as `csv` or `parquet`."""
        return self.csv() if kind == "csv" else self.parquet()

    async def csv(self) -> AsyncIterator[bytes]:
        """RFC 4180 text: the header, then a piece for each few days."""
        is_first = True
        async for rows in self.parts():
            yield await asyncio.to_thread(write_csv, rows, with_header=is_first)
            is_first = False

    async def parquet(self) -> AsyncIterator[bytes]:
        """The file in pieces. Parquet ends with its index, so it is written to disk first, as the rows are read."""
        with tempfile.TemporaryFile(prefix="convergence-export-") as file:
            await self._write_parquet(file)
            file.seek(0)
            while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
                yield piece

    async def _write_parquet(self, file: IO[bytes]) -> None:
        import pyarrow.parquet

        writer = None
        async for rows in self.parts():
            writer = writer or pyarrow.parquet.ParquetWriter(file, rows.schema, compression="zstd")
            await asyncio.to_thread(writer.write_table, rows)
        if writer is not None:
            writer.close()

    async def _count(self) -> dict[date, int]:
        rows = await self.warehouse.query(
            Statement(
                f"SELECT x_UsageDate AS day, COUNT(*) AS n FROM {TABLE}"
                " WHERE x_UsageDate >= @start_date AND x_UsageDate < @end_date GROUP BY day",
                self.org.dataset,
                {"start_date": self.window.start, "end_date": self.window.end},
            )
        )
        return {row["day"]: row["n"] for row in rows.to_pylist()}

    def _nothing(self, text: str) -> str:
        """The same statement where no FOCUS table was made yet."""
        columns = [column for column in self.catalog.schema(TABLE).columns if column.name not in LINEAGE_COLUMNS]
        return f"WITH {TABLE} AS (SELECT {', '.join(map(_null, columns))} FROM (SELECT 1) WHERE FALSE) {text}"


def write_csv(rows: pa.Table, *, with_header: bool) -> bytes:
    """As FOCUS wants it: numbers without exponent and with a point, times in UTC with Z, NULL as nothing."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    if with_header:
        writer.writerow(rows.column_names)
    columns = [[_cell(value) for value in column.to_pylist()] for column in rows.columns]
    writer.writerows(zip(*columns, strict=True))
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    match value:
        case Decimal():
            number = format_amount(value)
            return number if "." in number else f"{number}.0"
        case bool():
            return "true" if value else "false"
        case datetime():
            return format_time(value)
        case date():
            return value.isoformat()
        case _:
            return value


def _null(column: Column) -> str:
    return f"CAST(NULL AS {_TYPES.get(column.type, 'STRING')}) AS {column.name}"
