"""Batches gathered before the transaction: in memory up to a bound, then in one file."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.dataset
import pyarrow.ipc

_SMALL_BATCHES = 16


class Stage:
    """An Arrow table, or an Arrow file once it is larger than `limit_bytes`; gone when it is left."""

    def __init__(self, folder: Path, schema: pa.Schema, *, limit_bytes: int) -> None:
        self._folder = folder
        self._schema = schema
        self._limit = limit_bytes
        self._batches: list[pa.RecordBatch] = []
        self._bytes = 0
        self._path: Path | None = None
        self._writer: pa.ipc.RecordBatchFileWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._batches.clear()
        if self._writer is not None:
            self._writer.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    async def fill(
        self, batches: AsyncIterator[pa.RecordBatch], fit: Callable[[pa.RecordBatch], pa.RecordBatch]
    ) -> None:
        """Take them all, one at a time."""
        async for batch in batches:
            await asyncio.to_thread(self._add, fit, batch)

    def source(self) -> Any:
        """What DuckDB scans, as often as it likes."""
        if self._writer is None:
            table = pa.Table.from_batches(self._batches, self._schema)
            return table.combine_chunks() if len(self._batches) > _SMALL_BATCHES else table
        self._spill()
        self._writer.close()
        return pa.dataset.dataset(str(self._path), schema=self._schema, format="ipc")

    def _add(self, fit: Callable[[pa.RecordBatch], pa.RecordBatch], batch: pa.RecordBatch) -> None:
        fitted = fit(batch)
        self._batches.append(fitted)
        self._bytes += fitted.nbytes
        if self._bytes > self._limit:
            self._spill()

    def _spill(self) -> None:
        if self._writer is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".arrow", delete=False) as file:
                self._path = Path(file.name)
            self._writer = pa.ipc.new_file(str(self._path), self._schema)
        for batch in self._batches:
            self._writer.write_batch(batch)
        self._batches.clear()
        self._bytes = 0
