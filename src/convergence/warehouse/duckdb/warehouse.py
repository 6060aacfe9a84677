"""The Warehouse protocol on one DuckDB instance."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import duckdb
import pyarrow as pa
import structlog

from convergence.catalog.schemas import TableSchema
from convergence.errors import ConvergenceError, QueryRejected, SchemaMismatch, StatementFailed
from convergence.kit.window import Window
from convergence.sql import Statement
from convergence.sql.binding import bind
from convergence.sql.guard import check_select
from convergence.sql.translation import Kind, Translation, translate
from convergence.tenancy import DatasetRef, TableRef
from convergence.warehouse.duckdb import compaction, publish, results, schema
from convergence.warehouse.duckdb.instance import Connection, Instance
from convergence.warehouse.duckdb.snapshot import Snapshot, SnapshotMaker
from convergence.warehouse.duckdb.staging import Stage
from convergence.warehouse.duckdb.storage import storage_schema, to_storage
from convergence.warehouse.duckdb.tables import quote
from convergence.warehouse.duckdb.walled import ReadLimits, run_walled
from convergence.warehouse.measured import measure_load
from convergence.warehouse.protocol import Claim, Estimate, Loaded, SchemaChange, ScopeState, WriteMode
from convergence.warehouse.requests import check_request
from convergence.warehouse.rows import RowFitter

T = TypeVar("T")
log = structlog.get_logger("convergence.warehouse")

STAGE_BYTES: Final = 64 * 2**20


class DuckDBWarehouse:
    """Datasets as files under `{data_dir}/warehouse`. Making one opens nothing; the first call does.

    One process at a time holds a data directory; the lock is taken by the first call that needs a file.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        memory_limit: str = "1GB",
        threads: int = 2,
        stage_bytes: int = STAGE_BYTES,
        read_limits: ReadLimits | None = None,
    ) -> None:
        self._instance = Instance(data_dir, memory_limit=memory_limit, threads=threads)
        self._snapshots = SnapshotMaker(data_dir, self._instance)
        self._copies: dict[str, Snapshot] = {}
        self._copying: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._read_limits = read_limits or ReadLimits()
        self._readers = asyncio.Semaphore(self._read_limits.concurrency)
        self._stage_bytes = stage_bytes
        self._writers: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._commits: defaultdict[str, int] = defaultdict(int)
        self._erasing: defaultdict[str, int] = defaultdict(int)  # blocks that a compaction comes after

    async def open(self) -> None:
        """Take the directory and start the engine now instead of at first use.

        Raises:
            WarehouseBusy: another process holds the directory.
        """
        await self._instance.call(lambda cursor: cursor.execute("SELECT 1").fetchall())

    async def query(self, statement: Statement, /, *, max_bytes: int | None = None) -> pa.Table:
        _ = max_bytes  # DuckDB bills no bytes
        translation = translate(statement)
        if translation.kind is not Kind.SELECT:
            raise StatementFailed("query takes a SELECT", hint="Write rows with execute or load.")
        parameters = bind(statement, translation.parameters)
        return await self._call(
            statement.dataset, translation, lambda cursor: results.select(cursor, translation.text, parameters)
        )

    async def execute(self, statement: Statement, /) -> int:
        translation = translate(statement)
        if translation.kind is not Kind.DML:
            raise StatementFailed(
                "execute takes INSERT, UPDATE, DELETE or MERGE", hint="Read with query; make tables with ensure."
            )
        parameters = bind(statement, translation.parameters)

        def change(cursor: Connection) -> int:
            return int(publish.retry_conflicts(lambda: cursor.execute(translation.text, parameters).fetchall())[0][0])

        async with self._writing(statement.dataset):
            return await self._call(statement.dataset, translation, change)

    async def load(
        self,
        table: TableRef,
        batches: AsyncIterator[pa.RecordBatch],
        /,
        *,
        mode: WriteMode,
        keys: Sequence[str] = (),
        window: Window | None = None,
        claim: Claim | None = None,
        rejects: pa.Table | None = None,
    ) -> Loaded:
        work = self._load(table, batches, mode, keys=keys, window=window, claim=claim, rejects=rejects)
        return await measure_load(table, mode, work)

    async def _load(
        self,
        table: TableRef,
        batches: AsyncIterator[pa.RecordBatch],
        mode: WriteMode,
        *,
        keys: Sequence[str],
        window: Window | None,
        claim: Claim | None,
        rejects: pa.Table | None,
    ) -> Loaded:
        definition, rejects_definition = await self._definitions(table)
        check_request(definition, mode, keys=keys, window=window, claim=claim)
        window = window if mode is WriteMode.REPLACE_WINDOW else None
        fitter = RowFitter(definition, window)
        stored = storage_schema(fitter.target)
        with Stage(self._instance.folder / ".spill", stored, limit_bytes=self._stage_bytes) as stage:
            await stage.fill(batches, lambda batch: to_storage(fitter.fit(batch), stored))
            load = publish.Load(
                table=table,
                schema=definition,
                source=stage.source(),
                rows=fitter.rows,
                mode=mode,
                keys=tuple(keys),
                window=window,
                claim=claim,
                rejects=_fit_rejects(table, rejects, rejects_definition, window),
                rejects_schema=rejects_definition,
            )
            async with self._writing(table.dataset):
                return await self._run(table.dataset, lambda cursor: publish.publish(cursor, load))

    async def scopes(self, dataset: DatasetRef, stream: str, window: Window, /) -> list[ScopeState]:
        anything = TableRef(dataset, "")
        return await self._run(dataset, lambda cursor: publish.read_scopes(cursor, anything, stream, window))

    async def ensure_dataset(self, dataset: DatasetRef, /) -> bool:
        missing = not self._instance.exists(dataset)
        async with self._writing(dataset):
            await self._instance.call(lambda cursor: self._instance.attach(cursor, dataset, create=True))
        return missing

    async def ensure(self, table: TableRef, schema_: TableSchema, /) -> SchemaChange:
        if await self._run(table.dataset, lambda cursor: schema.read_schema(cursor, table)) == schema_:
            return SchemaChange()  # before every load: no writer waits for it, no checkpoint pays for it
        return await self._define(table.dataset, lambda cursor: schema.ensure_table(cursor, table, schema_))

    async def ensure_view(self, view: TableRef, statement: Statement, /) -> bool:
        translation = translate(statement)
        if translation.kind is not Kind.SELECT or translation.parameters:
            raise StatementFailed(f"view {view} needs a SELECT without parameters", hint="Write the values out.")

        if await self._run(view.dataset, lambda cursor: schema.read_view(cursor, view)) == translation.text:
            return False

        def replace(cursor: Connection) -> bool:
            self._attach(cursor, translation.tables)
            return schema.replace_view(cursor, view, translation.text, translation.tables)

        return await self._define(view.dataset, replace)

    async def tables(self, dataset: DatasetRef, /) -> list[str]:
        if not self._instance.exists(dataset):
            return []
        found = await self._run(dataset, lambda cursor: schema.relations(cursor, dataset))
        return [name for name, _kind in found]

    async def drop(self, table: TableRef, /) -> None:
        if self._instance.exists(table.dataset):
            await self._define(table.dataset, lambda cursor: schema.drop_relation(cursor, table))

    async def drop_dataset(self, dataset: DatasetRef, /) -> None:
        async with self._writing(dataset):
            await self._instance.call(lambda cursor: self._instance.detach(cursor, dataset))
            self._copies.pop(dataset.name, None)
            await asyncio.to_thread(self._snapshots.remove, dataset)
            path = self._instance.path(dataset)
            await asyncio.to_thread(compaction.remove_files, path)

    async def compact(self, dataset: DatasetRef, /) -> None:
        path = self._instance.path(dataset)
        async with self._writing(dataset):
            await self._run(dataset, lambda cursor: compaction.copy_dataset(cursor, dataset, path))
            await self._instance.call(lambda cursor: self._instance.swap(cursor, dataset), alone=True)
            await asyncio.to_thread(self._forget_copies, dataset)
            if not self._erasing[dataset.name]:
                compaction.settle(path)

    @asynccontextmanager
    async def erasing(self, dataset: DatasetRef, /) -> AsyncIterator[None]:
        self._erasing[dataset.name] += 1
        try:
            await asyncio.to_thread(compaction.owe, self._instance.path(dataset))
            yield
        finally:
            self._erasing[dataset.name] -= 1
        try:
            await self.compact(dataset)
        except ConvergenceError as error:
            log.warning("compaction still owed", dataset=dataset.name, error=error.message)

    async def estimate(self, statement: Statement, /) -> Estimate:
        translation = translate(statement)
        parameters = bind(statement, translation.parameters)

        def explain(cursor: Connection) -> None:
            cursor.execute(f"EXPLAIN {translation.text}", parameters).fetchall()

        await self._call(statement.dataset, translation, explain)
        return Estimate(translation.tables)

    async def read(self, statement: Statement, /, *, max_rows: int, max_bytes: int | None = None) -> pa.Table:
        _ = max_bytes  # DuckDB bills no bytes; the limits are time and memory
        tables = {table.name for table in check_select(statement.sql, statement.dataset)}
        try:
            translation = translate(statement)
            parameters = bind(statement, translation.parameters)
        except StatementFailed as error:
            raise QueryRejected(error.message, hint=error.hint) from error
        copy = await self._current_copy(statement.dataset, tables)
        async with self._readers:
            return await run_walled(copy.path, translation.text, parameters, max_rows + 1, self._read_limits)

    async def backup(self, dataset: DatasetRef, target: Path, /) -> None:
        """Write a consistent copy of the dataset, internal tables included, to a file that is not there yet."""

        def copy(cursor: Connection) -> None:
            compaction.copy_database(cursor, dataset, DatasetRef(f"backup_{dataset.name}"), target)

        if await asyncio.to_thread(target.exists):
            raise StatementFailed(f"{target.name} exists", hint="Name a file that is not there yet.")
        await self._run(dataset, copy)

    async def ping(self) -> None:
        await self._instance.call(self._touch)

    async def close(self) -> None:
        await asyncio.to_thread(self._instance.close)

    def _touch(self, cursor: Connection) -> None:
        """Read one row of every open dataset."""
        for name in self._instance.attached():
            cursor.execute(f"SELECT * FROM {quote(DatasetRef(name), '_dataset')} LIMIT 1").fetchall()

    def _forget_copies(self, dataset: DatasetRef) -> None:
        """Users' statements run on copies, which hold deleted rows until they are made again."""
        stale = {name for name, copy in self._copies.items() if dataset.name in copy.commits}
        for name in stale | {dataset.name}:
            self._snapshots.remove(DatasetRef(name))

    async def _current_copy(self, dataset: DatasetRef, tables: set[str]) -> Snapshot:
        async with self._copying[dataset.name]:
            copy = self._copies.get(dataset.name)
            if copy is None or not copy.is_current(self._commits, tables):
                commits = dict(self._commits)
                copy = await self._run(dataset, lambda cursor: self._snapshots.make(cursor, dataset, commits))
                self._copies[dataset.name] = copy
            return copy

    async def _definitions(self, table: TableRef) -> tuple[TableSchema, TableSchema | None]:
        def read(cursor: Connection) -> tuple[TableSchema, TableSchema | None]:
            return schema.require_schema(cursor, table), schema.read_schema(cursor, table.rejects)

        return await self._run(table.dataset, read)

    async def _define(self, dataset: DatasetRef, change: Callable[[Connection], T]) -> T:
        """DDL stands alone, and is checkpointed: replaying it together with rows is where DuckDB has lost files."""

        def run(cursor: Connection) -> T:
            result = change(cursor)
            with suppress(duckdb.TransactionException):  # a reader is in the way; the next one will do it
                cursor.execute(f'CHECKPOINT "{dataset.name}"')
            return result

        async with self._writing(dataset):
            return await self._run(dataset, run)

    def _writing(self, dataset: DatasetRef) -> _Writing:
        return _Writing(self._writers[dataset.name], self._commits, dataset.name)

    async def _run(self, dataset: DatasetRef, function: Callable[[Connection], T]) -> T:
        def attached(cursor: Connection) -> T:
            self._instance.attach(cursor, dataset)
            return function(cursor)

        return await self._instance.call(attached)

    async def _call(self, dataset: DatasetRef, translation: Translation, function: Callable[[Connection], T]) -> T:
        def attached(cursor: Connection) -> T:
            self._attach(cursor, translation.tables)
            return function(cursor)

        return await self._run(dataset, attached)

    def _attach(self, cursor: Connection, tables: frozenset[TableRef]) -> None:
        for dataset in {table.dataset for table in tables}:
            self._instance.attach(cursor, dataset)


@dataclass(slots=True)
class _Writing:
    """One writer at a time for a dataset; whatever it did, readers look again."""

    lock: asyncio.Lock
    commits: defaultdict[str, int]
    dataset: str

    async def __aenter__(self) -> None:
        await self.lock.acquire()

    async def __aexit__(self, *_: object) -> None:
        self.commits[self.dataset] += 1
        self.lock.release()


def _fit_rejects(
    table: TableRef, rejects: pa.Table | None, definition: TableSchema | None, window: Window | None
) -> pa.Table | None:
    """No rejects at all are an empty table of them: the day's old ones go with its old rows."""
    if definition is None:
        if rejects is not None and rejects.num_rows:
            raise SchemaMismatch(f"table {table.rejects} does not exist", hint="Create it with ensure first.")
        return None
    fitter = RowFitter(definition, window if definition.partition_column else None)
    stored = storage_schema(fitter.target)
    batches = rejects.to_batches() if rejects is not None else []
    return pa.Table.from_batches([to_storage(fitter.fit(batch), stored) for batch in batches], stored)
