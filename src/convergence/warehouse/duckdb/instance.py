"""The one DuckDB instance: datasets attached on demand, a cursor for each call, a pool of threads."""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import duckdb
import structlog

from convergence.errors import ConvergenceError, StatementFailed
from convergence.sql.arithmetic import VERSION, build_macros
from convergence.tenancy import DatasetRef
from convergence.warehouse.duckdb import compaction, tables
from convergence.warehouse.duckdb.compaction import attach_statement
from convergence.warehouse.duckdb.errors import translated
from convergence.warehouse.duckdb.gate import Gate
from convergence.warehouse.duckdb.lock import DirectoryLock

T = TypeVar("T")
Connection = duckdb.DuckDBPyConnection

log = structlog.get_logger("convergence.warehouse")

_NAME: Final = re.compile(r"[A-Za-z0-9_]{1,120}", re.ASCII)


class Instance:
    """Opens nothing until it is used. Methods other than `call` and `close` run in the pool's threads."""

    def __init__(self, data_dir: Path, *, memory_limit: str, threads: int, workers: int = 8) -> None:
        self.folder = data_dir.absolute() / "warehouse"
        self._config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory_limit,
            "threads": str(threads),
            "async_threads": "1",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
            "temp_directory": str(self.folder / ".spill"),
        }
        self._workers = workers
        self._lock = DirectoryLock(self.folder / ".lock")
        self._guard = threading.RLock()
        self._gate = Gate()
        self._pool: ThreadPoolExecutor | None = None
        self._root: Connection | None = None
        self._attached: dict[str, tuple[int, int]] = {}

    async def call(self, function: Callable[[Connection], T], /, *, alone: bool = False) -> T:
        """Run `function` with a cursor of its own in a thread; a cancelled caller interrupts its statement.

        With `alone`, every other call waits: none has an open cursor while it runs.
        """
        async with self._gate.alone() if alone else self._gate.shared():
            return await self._call(function)

    async def _call(self, function: Callable[[Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        cursors: list[Connection] = []
        future = loop.run_in_executor(self._threads(), partial(self._run, function, cursors))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            for cursor in cursors:
                with suppress(duckdb.ConnectionException):  # it has just ended by itself
                    cursor.interrupt()
            await asyncio.wait([future])
            future.exception()
            raise

    def close(self) -> None:
        """Checkpoint and close; the instance may be used again."""
        with self._guard:
            if self._pool is not None:
                self._pool.shutdown(wait=True)
                self._pool = None
            if self._root is not None:
                self._root.close()
                self._root = None
            self._attached.clear()
            self._lock.release()

    def path(self, dataset: DatasetRef) -> Path:
        """The dataset's file. Never open it: that would drop DuckDB's lock."""
        if not _NAME.fullmatch(dataset.name):
            raise StatementFailed(f"{dataset.name!r} cannot name a dataset", hint="Letters, digits and underscores.")
        return self.folder / f"{dataset.name}.duckdb"

    def exists(self, dataset: DatasetRef) -> bool:
        return self.path(dataset).exists()

    def attach(self, cursor: Connection, dataset: DatasetRef, *, create: bool = False) -> None:
        """Make `dataset.table` work.

        Raises:
            StatementFailed: there is no such dataset, or its file is not the only name of its data.
        """
        with self._guard:
            if dataset.name in self._attached:
                return
            path = self.path(dataset)
            if not create and not path.exists():
                raise StatementFailed(
                    f"dataset {dataset.name} does not exist",
                    code="dataset_missing",
                    hint="Bootstrap the platform, or onboard the organization, first.",
                )
            self._check_alone(dataset, path)
            self._open_file(cursor, dataset)
            if compaction.is_owed(path):
                self._pay_compaction(cursor, dataset)

    def detach(self, cursor: Connection, dataset: DatasetRef) -> None:
        """Close the dataset's file."""
        with self._guard:
            if self._attached.pop(dataset.name, None) is not None:
                cursor.execute(f'DETACH "{dataset.name}"')

    def swap(self, cursor: Connection, dataset: DatasetRef) -> None:
        """Put the finished copy in the place of the dataset's file; for a call that is alone.

        Raises:
            WarehouseBusy: something still holds the old file, which stays.
        """
        with self._guard:
            self.detach(cursor, dataset)
            try:
                compaction.put_in_place(self.path(dataset))
            finally:
                self._open_file(cursor, dataset)

    def attached(self) -> tuple[str, ...]:
        return tuple(self._attached)

    def _run(self, function: Callable[[Connection], T], cursors: list[Connection]) -> T:
        with translated(), self._cursor() as cursor:
            cursors.append(cursor)
            return function(cursor)

    @contextmanager
    def _cursor(self) -> Iterator[Connection]:
        cursor = self._opened().cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    def _opened(self) -> Connection:
        with self._guard:
            if self._root is None:
                self._lock.acquire()
                try:
                    self._root = duckdb.connect(":memory:", config=self._config)
                    self._root.execute("SET GLOBAL TimeZone = 'UTC'")
                except BaseException:
                    self._lock.release()
                    raise
            return self._root

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="warehouse")
        return self._pool

    def _open_file(self, cursor: Connection, dataset: DatasetRef) -> None:
        path = self.path(dataset)
        cursor.execute(attach_statement(path, dataset))
        self._prepare(cursor, dataset)
        status = path.stat()
        self._attached[dataset.name] = (status.st_dev, status.st_ino)

    def _pay_compaction(self, cursor: Connection, dataset: DatasetRef) -> None:
        """What a crash interrupted. A dataset that cannot be compacted is still better than none."""
        try:
            compaction.copy_dataset(cursor, dataset, self.path(dataset))
            self.swap(cursor, dataset)
            compaction.settle(self.path(dataset))
        except (duckdb.Error, OSError, ConvergenceError) as error:
            log.warning("compaction still owed", dataset=dataset.name, error=type(error).__name__)

    def _prepare(self, cursor: Connection, dataset: DatasetRef) -> None:
        """Internal tables and macros, where this file lacks them or has older ones."""
        if tables.read_version(cursor, dataset) == VERSION:
            return
        for statement in (*tables.build_internal(dataset), *build_macros(dataset)):
            cursor.execute(statement)
        tables.write_version(cursor, dataset, VERSION)
        cursor.execute(f'CHECKPOINT "{dataset.name}"')

    def _check_alone(self, dataset: DatasetRef, path: Path) -> None:
        """A second name for one file would be a second database that does not see the first one's rows."""
        if not path.exists():
            return
        status = os.stat(path, follow_symlinks=True)  # noqa: PTH116 - says that it does not open the file
        same = (status.st_dev, status.st_ino) in self._attached.values()
        if same or status.st_nlink > 1 or path.is_symlink():
            raise StatementFailed(
                f"the file of dataset {dataset.name} has a second name (a link)",
                hint="Keep one regular file for each dataset; copy a dataset with a backup.",
            )
