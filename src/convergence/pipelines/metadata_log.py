"""Run and step transitions on their way to the warehouse, in batches, none lost."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from convergence.catalog import Catalog
from convergence.errors import ConvergenceError
from convergence.kit.clock import Clock
from convergence.kit.jsontext import dumps
from convergence.tenancy import PlatformScope
from convergence.warehouse import Warehouse, WriteMode

if TYPE_CHECKING:
    import pyarrow as pa

log = structlog.get_logger(__name__)
Row = Mapping[str, Any]


class MetadataLog:
    """Appends rows to the platform's log tables.

    A row is written when `batch_size` rows wait, or after `flush_interval`, or at `close`. A batch that cannot be
    written is kept and tried again; a row written twice is harmless, since the views show the highest record_version.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        platform: PlatformScope,
        catalog: Catalog,
        clock: Clock,
        *,
        batch_size: int = 100,
        flush_interval: timedelta = timedelta(seconds=5),
        workers: int = 5,
    ) -> None:
        self._warehouse = warehouse
        self._platform = platform
        self._catalog = catalog
        self._clock = clock
        self._batch_size = batch_size
        self._flush_interval = flush_interval
        self._slots = asyncio.Semaphore(workers)
        self._waiting: dict[str, list[Row]] = defaultdict(list)
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_closing = False
        self._flushing = asyncio.Lock()

    @property
    def depth(self) -> int:
        """Rows not yet written."""
        return sum(map(len, self._waiting.values()))

    def append(self, table: str, row: Row) -> None:
        """Hand over a row; returns at once."""
        self._waiting[table].append(row)
        if self.depth >= self._batch_size:
            self._wake.set()

    def start(self) -> None:
        """Begin to flush in the background."""
        self._task = self._task or asyncio.create_task(self._flush_forever(), name="metadata-log")

    async def close(self) -> None:
        """Write what waits and stop."""
        self._is_closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
            self._task = None
        await self.flush()

    async def flush(self) -> bool:
        """Write all that waits now; whether nothing is left."""
        async with self._flushing:
            tables = [table for table, rows in self._waiting.items() if rows]
            return all(await asyncio.gather(*map(self._flush_table, tables)))

    async def _flush_forever(self) -> None:
        while not self._is_closing:
            try:
                async with asyncio.timeout(self._flush_interval.total_seconds()):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            if not await self.flush() and not self._is_closing:
                await self._clock.sleep(timedelta(seconds=1))

    async def _flush_table(self, table: str) -> bool:
        async with self._slots:
            rows = self._waiting[table]
            self._waiting[table] = []
            try:
                await self._write(table, rows)
            except ConvergenceError as error:
                self._waiting[table] = rows + self._waiting[table]
                log.warning("metadata log not written, kept", table=table, rows=len(rows), error=error.message)
                return False
            except BaseException:
                self._waiting[table] = rows + self._waiting[table]
                raise
        return True

    async def _write(self, table: str, rows: Sequence[Row]) -> None:
        from convergence.warehouse.arrow import build_arrow_schema

        schema = build_arrow_schema(self._catalog.schema(table))
        await self._warehouse.load(self._platform.table(table), _batches(rows, schema), mode=WriteMode.APPEND)


async def _batches(rows: Sequence[Row], schema: pa.Schema) -> AsyncIterator[pa.RecordBatch]:
    import pyarrow as pa

    yield pa.RecordBatch.from_pylist([_encode(row) for row in rows], schema=schema)


def _encode(row: Row) -> dict[str, Any]:
    return {name: dumps(value) if isinstance(value, dict | list) else value for name, value in row.items()}
