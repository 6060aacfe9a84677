"""The Warehouse protocol on BigQuery."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pyarrow as pa
import structlog
from google.api_core.exceptions import PreconditionFailed
from google.api_core.retry import Retry, if_exception_type
from google.cloud import bigquery

from convergence.catalog.schemas import TableSchema
from convergence.errors import ConvergenceError, QueryRejected, SchemaMismatch, StatementFailed, WarehouseBusy
from convergence.kit.ids import new_id
from convergence.kit.window import Window
from convergence.sql import Statement
from convergence.sql.binding import bind
from convergence.sql.googlesql import full_name, resolve, view_tables
from convergence.sql.guard import check_select
from convergence.sql.translation import Kind, Translation
from convergence.tenancy import DatasetRef, TableRef
from convergence.warehouse.arrow import build_arrow_schema
from convergence.warehouse.bigquery import publish
from convergence.warehouse.bigquery.client import open_client, open_reader
from convergence.warehouse.bigquery.jobs import Jobs
from convergence.warehouse.bigquery.limits import ReadLimits
from convergence.warehouse.bigquery.parameters import Parameter, build_parameters
from convergence.warehouse.bigquery.publish import Publication, Staged
from convergence.warehouse.bigquery.results import as_arrow, read_batches
from convergence.warehouse.bigquery.staging import ParquetFile, is_direct, staged_schema
from convergence.warehouse.bigquery.tables import (
    GATE,
    LEDGER,
    SCOPE_COLUMNS,
    SCOPES,
    build_fields,
    build_table,
    gate_statement,
    read_table,
)
from convergence.warehouse.measured import measure_load
from convergence.warehouse.protocol import Claim, Estimate, Loaded, SchemaChange, ScopeState, WriteMode
from convergence.warehouse.requests import check_request
from convergence.warehouse.rows import RowFitter
from convergence.warehouse.widening import added_paths, merge_schemas, refuse_changes

if TYPE_CHECKING:
    from convergence.kit.clock import Clock

T = TypeVar("T")
log = structlog.get_logger("convergence.warehouse")

_ONCE: Final = Retry(predicate=if_exception_type())  # of no type: the client never repeats, our jobs do
_REQUEST_SECONDS: Final = 60.0
_STAGE_LIFE: Final = timedelta(hours=6)
_ATTEMPTS: Final = 5
_PAGE_ROWS: Final = 10_000
_MISSING: Final = frozenset({"warehouse_not_found", "warehouse_location"})
_OWN_TABLES: Final = "Send one read-only SELECT over your own tables, named bare or as dataset.table."
_NAME_LENGTH: Final = 1024
_OF_THE_STATEMENT: Final = frozenset({"statement_failed", "statement_timeout", "query_too_large", *_MISSING})


class BigQueryWarehouse:
    """Datasets of one project in one location. Making one asks nothing over the network; the first call does."""

    def __init__(
        self,
        project: str,
        *,
        location: str = "US",
        endpoint: str | None = None,
        attempts: int = 3,
        page_rows: int = _PAGE_ROWS,
        max_bytes: int | None = None,
        query_timeout: timedelta | None = None,
        read_limits: ReadLimits | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._project = project
        self._location = location
        self._endpoint = endpoint
        self._page_rows = page_rows
        self._max_bytes = max_bytes
        self._query_timeout = query_timeout
        self._read_limits = read_limits or ReadLimits()
        self._client = open_client(project, location, endpoint)
        self._reader: Any = None
        self.jobs = Jobs(self._client, location=location, attempts=attempts + 1, clock=clock)
        self._writers: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def query(self, statement: Statement, /, *, max_bytes: int | None = None) -> pa.Table:
        resolved = resolve(statement, self._project)
        if resolved.kind is not Kind.SELECT:
            raise StatementFailed("query takes a SELECT", hint="Write rows with execute or load.")
        parameters = build_parameters(bind(statement, resolved.parameters))

        async def run() -> pa.Table:
            job = await self.jobs.query(
                resolved.text,
                parameters=parameters,
                labels=_labels(statement.dataset),
                max_bytes=_least(max_bytes, self._max_bytes),
                timeout=self._query_timeout,
            )
            return await self._rows(job)

        return await self._named(statement.dataset, run)

    async def execute(self, statement: Statement, /) -> int:
        resolved = resolve(statement, self._project)
        if resolved.kind is not Kind.DML:
            raise StatementFailed(
                "execute takes INSERT, UPDATE, DELETE or MERGE", hint="Read with query; make tables with ensure."
            )
        parameters = build_parameters(bind(statement, resolved.parameters))

        async def run() -> int:
            job = await self.jobs.query(
                resolved.text,
                key=new_id("dml"),
                parameters=parameters,
                labels=_labels(statement.dataset),
                timeout=self._query_timeout,
            )
            return int(job.num_dml_affected_rows or 0)

        async with self._writers[statement.dataset.name]:
            return await self._named(statement.dataset, run)

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

    async def scopes(self, dataset: DatasetRef, stream: str, window: Window, /) -> list[ScopeState]:
        columns = ", ".join(f"`{column}`" for column in SCOPE_COLUMNS if column != "rejected")
        statement = Statement(
            f"SELECT {columns} FROM {SCOPES.name} WHERE stream = @stream AND day >= @start AND day < @end ORDER BY day",
            dataset,
            {"stream": stream, "start": window.start, "end": window.end},
        )
        rows = (await self.query(statement)).to_pylist()
        return [ScopeState(**row) for row in rows]

    async def ensure_dataset(self, dataset: DatasetRef, /) -> bool:
        async with self._writers[dataset.name]:
            missing = await self._dataset(dataset) is None
            if missing:
                await self._create_dataset(dataset)
            if missing or await self._table(TableRef(dataset, GATE)) is None:
                await self._create_internal(dataset)
        return missing

    async def ensure(self, table: TableRef, schema: TableSchema, /) -> SchemaChange:
        build_arrow_schema(schema)  # names an unknown type before anything is written
        present = await self._table(table)
        if present is None:
            async with self._writers[table.dataset.name]:
                await self._create_table(table, schema)
            return SchemaChange(created=True)
        if not list(added_paths(read_table(present).columns, schema.columns)):
            refuse_changes(table, read_table(present), schema)
            return SchemaChange()
        async with self._writers[table.dataset.name]:
            return await self._widen(table, schema)

    async def ensure_view(self, view: TableRef, statement: Statement, /) -> bool:
        resolved = resolve(statement, self._project)
        if resolved.kind is not Kind.SELECT or resolved.parameters:
            raise StatementFailed(f"view {view} needs a SELECT without parameters", hint="Write the values out.")
        present = await self._table(view)
        if present is not None and present.table_type != "VIEW":
            raise SchemaMismatch(f"{view} is a table", hint="Give the view a name of its own.")
        text = f"CREATE OR REPLACE VIEW {full_name(self._project, view)} AS\n{resolved.text}"
        if present is None or present.view_query != resolved.text:
            await self._named(view.dataset, lambda: self.jobs.query(text, labels=_labels(view.dataset)))
        return present is None

    async def tables(self, dataset: DatasetRef, /) -> list[str]:
        try:
            found = await self.jobs.call(
                lambda: list(
                    self._client.list_tables(self._dataset_name(dataset), retry=_ONCE, timeout=_REQUEST_SECONDS)
                )
            )
        except StatementFailed as error:
            if error.code in _MISSING:
                return []
            raise
        return sorted(item.table_id for item in found if not item.table_id.startswith("_"))

    async def drop(self, table: TableRef, /) -> None:
        await self.jobs.call(
            lambda: self._client.delete_table(
                self._reference(table), retry=_ONCE, timeout=_REQUEST_SECONDS, not_found_ok=True
            )
        )

    async def drop_dataset(self, dataset: DatasetRef, /) -> None:
        async with self._writers[dataset.name]:
            await self.jobs.call(
                lambda: self._client.delete_dataset(
                    self._dataset_name(dataset),
                    delete_contents=True,
                    retry=_ONCE,
                    timeout=_REQUEST_SECONDS,
                    not_found_ok=True,
                )
            )

    async def estimate(self, statement: Statement, /) -> Estimate:
        resolved = resolve(statement, self._project)
        parameters = build_parameters(bind(statement, resolved.parameters))
        job = await self._named(statement.dataset, lambda: self.jobs.dry_run(resolved.text, parameters=parameters))
        return Estimate(resolved.tables, job.total_bytes_processed)

    async def read(self, statement: Statement, /, *, max_rows: int, max_bytes: int | None = None) -> pa.Table:
        named = check_select(statement.sql, statement.dataset)
        limits = self._read_limits
        most = _least(max_bytes, limits.billed_bytes, self._max_bytes)
        try:
            resolved = resolve(statement, self._project)
            parameters = build_parameters(bind(statement, resolved.parameters))
            await self._check_dry(statement.dataset, resolved, parameters, named, most)
            job = await self.jobs.query(
                resolved.text,
                parameters=parameters,
                labels=_labels(statement.dataset) | {"purpose": "user_query"},
                max_bytes=most,
                timeout=timedelta(seconds=limits.seconds),
            )
            return await self._rows(job, max_rows=max_rows + 1, limit_bytes=limits.result_bytes)
        except StatementFailed as error:
            raise self._rejected(error) from error

    async def ping(self) -> None:
        await self.jobs.call(
            lambda: list(self._client.list_datasets(max_results=1, retry=_ONCE, timeout=_REQUEST_SECONDS))
        )

    async def close(self) -> None:
        self.jobs.close()
        await asyncio.to_thread(self._client.close)
        if self._reader is not None:
            await asyncio.to_thread(self._reader.transport.close)

    # Loads

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
        definition = await self._require(table)
        bad_definition = await self._rejects_definition(table, rejects, mode)
        check_request(definition, mode, keys=keys, window=window, claim=claim)
        window = window if mode is WriteMode.REPLACE_WINDOW else None
        fitter = RowFitter(definition, window)
        publish_id = new_id("publish")
        with ExitStack() as files:
            good = files.enter_context(ParquetFile(definition))
            await good.fill(batches, fitter.fit)
            if mode is WriteMode.MERGE:
                await asyncio.to_thread(good.refuse_duplicates, table, keys)
            bad = files.enter_context(ParquetFile(bad_definition)) if bad_definition else None
            if bad and bad_definition:
                await _fill_rejects(bad, bad_definition, rejects, window)
            load = Publication(
                publish_id=publish_id,
                project=self._project,
                mode=mode,
                good=_staged(publish_id, table, definition, good),
                bad=_staged(publish_id, table.rejects, bad_definition, bad) if bad and bad_definition else None,
                keys=tuple(keys),
                window=window,
                claim=claim,
            )
            return await self._publish(load, good, bad)

    async def _publish(self, load: Publication, good: ParquetFile, bad: ParquetFile | None) -> Loaded:
        plain = load.mode is WriteMode.APPEND and load.claim is None and load.bad is None
        if plain and not good.rows:
            return Loaded(0)
        if plain and is_direct(load.good.schema):
            await self._upload(load, good, load.good.table, load.good.schema)
            return Loaded(good.rows)
        pairs = [(load.good, good), (load.bad, bad)]
        staged = [(one, file) for one, file in pairs if one is not None and file is not None and one.stage is not None]
        try:
            await asyncio.gather(*(self._fill_stage(load, one, file) for one, file in staged))
            return await (self._insert(load) if plain else self._replace(load))
        finally:
            await asyncio.shield(self._drop_stages([one for one, _file in staged]))

    async def _fill_stage(self, load: Publication, staged: Staged, file: ParquetFile) -> None:
        """An empty table that expires by itself, then its rows: the load job alone cannot set an expiration."""
        stage = staged.stage or staged.table
        schema = staged_schema(staged.schema)
        table = bigquery.Table(self._reference(stage), schema=build_fields(schema.columns))
        table.expires = datetime.now(UTC) + _STAGE_LIFE
        await self.jobs.call(
            lambda: self._client.create_table(table, exists_ok=True, retry=_ONCE, timeout=_REQUEST_SECONDS)
        )
        arrived = await self._upload(load, file, stage, schema)
        if arrived is not None and arrived != file.rows:
            raise StatementFailed(
                f"table {stage}: {file.rows} rows were sent and {arrived} arrived",
                hint="Report this with the id of the job.",
            )

    async def _upload(self, load: Publication, file: ParquetFile, table: TableRef, schema: TableSchema) -> int | None:
        """The number of rows that BigQuery says it has added."""
        job = await self.jobs.load(
            file.path,
            self._reference(table),
            key=f"{load.publish_id}/{table.name}",
            schema=build_fields(schema.columns),
            write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
            labels=_labels(table.dataset, load.claim),
        )
        return None if job.output_rows is None else int(job.output_rows)

    async def _insert(self, load: Publication) -> Loaded:
        labels = _labels(load.good.table.dataset)
        await self.jobs.query(publish.insert_statement(load), key=load.publish_id, labels=labels)
        return Loaded(load.good.rows)

    async def _replace(self, load: Publication) -> Loaded:
        """One at a time for a dataset: BigQuery aborts what meets at the gate, and this process need not ask for it."""
        labels = _labels(load.good.table.dataset, load.claim)
        async with self._writers[load.good.table.dataset.name]:
            try:
                job = await self.jobs.script(
                    publish.build_script(load), key=load.publish_id, labels=labels, landed=self._landed(load)
                )
            except ConvergenceError as error:
                raise publish.translate_refusal(error, load) from error
        return _loaded(load, await self._outcomes(load, job))

    def _landed(self, load: Publication) -> Callable[[], Awaitable[bool]] | None:
        """Whether the ledger has it. Without a claim it may run again: no fence, so the last writer wins anyway."""

        async def ask() -> bool:
            return bool(await self._ledger_outcomes(load))

        return ask if load.claim is not None else None

    async def _outcomes(self, load: Publication, job: bigquery.QueryJob) -> dict[Any, str]:
        if load.claim is None:
            return {}
        if job.state != "DONE" or job.error_result:
            return await self._ledger_outcomes(load)
        return _by_day(await self._rows(job))

    async def _ledger_outcomes(self, load: Publication) -> dict[Any, str]:
        labels = _labels(load.good.table.dataset)
        return _by_day(await self._rows(await self.jobs.query(publish.outcomes_statement(load), labels=labels)))

    async def _drop_stages(self, stages: Sequence[Staged]) -> None:
        """A stage that stays is no harm: it expires."""
        for staged in stages:
            try:
                await self.drop(staged.stage or staged.table)
            except ConvergenceError as error:
                log.warning("stage not dropped", table=str(staged.stage), error=error.message)

    # Definitions

    async def _require(self, table: TableRef) -> TableSchema:
        found = await self._table(table)
        if found is None:
            raise StatementFailed(
                f"table {table} does not exist",
                code="table_missing",
                hint="Create it from its schema file with ensure.",
            )
        return read_table(found)

    async def _rejects_definition(
        self, table: TableRef, rejects: pa.Table | None, mode: WriteMode
    ) -> TableSchema | None:
        """No rejects at all go with the old ones of what is replaced; beside what is added they are nothing."""
        some = rejects is not None and rejects.num_rows > 0
        if not some and mode in {WriteMode.APPEND, WriteMode.MERGE}:
            return None
        found = await self._table(table.rejects)
        if found is None and some:
            raise SchemaMismatch(f"table {table.rejects} does not exist", hint="Create it with ensure first.")
        return read_table(found) if found else None

    async def _create_dataset(self, dataset: DatasetRef) -> None:
        made = bigquery.Dataset(self._dataset_name(dataset))
        made.location = self._location
        made.labels = {"managed_by": "convergence"}
        await self.jobs.call(
            lambda: self._client.create_dataset(made, exists_ok=True, retry=_ONCE, timeout=_REQUEST_SECONDS)
        )

    async def _create_internal(self, dataset: DatasetRef) -> None:
        """The gate comes last: where it is, the others are."""
        for schema in (SCOPES, LEDGER):
            await self._create_table(TableRef(dataset, schema.name), schema)
        await self.jobs.query(gate_statement(self._project, dataset), labels=_labels(dataset))

    async def _create_table(self, table: TableRef, schema: TableSchema) -> None:
        made = build_table(self._reference(table), schema)
        await self._named(
            table.dataset,
            lambda: self.jobs.call(
                lambda: self._client.create_table(made, exists_ok=True, retry=_ONCE, timeout=_REQUEST_SECONDS)
            ),
        )

    async def _widen(self, table: TableRef, schema: TableSchema) -> SchemaChange:
        for _attempt in range(_ATTEMPTS):
            present = await self._table(table)
            if present is None:
                raise WarehouseBusy(f"table {table} was dropped meanwhile", hint="Try again.")
            before = read_table(present)
            refuse_changes(table, before, schema)
            added = tuple(added_paths(before.columns, schema.columns))
            present.schema = build_fields(merge_schemas(before, schema).columns)
            if not added or await self._update(present, ["schema"]):
                return SchemaChange(columns_added=added)
        raise WarehouseBusy(f"table {table} is being changed by others", hint="Try again.", retry_after=1.0)

    async def _update(self, table: bigquery.Table, fields: list[str]) -> bool:
        """Whether nobody else was faster: the table's etag goes with it."""

        def update() -> bool:
            try:
                self._client.update_table(table, fields, retry=_ONCE, timeout=_REQUEST_SECONDS)
            except PreconditionFailed:
                return False
            return True

        return await self.jobs.call(update)

    # Requests

    async def _dataset(self, dataset: DatasetRef) -> bigquery.Dataset | None:
        """The dataset where it is.

        Raises:
            StatementFailed: it lies in another location than the one of our jobs.
        """
        found = await self._found(
            lambda: self._client.get_dataset(self._dataset_name(dataset), retry=_ONCE, timeout=_REQUEST_SECONDS)
        )
        if found is not None and found.location and found.location.upper() != self._location.upper():
            raise StatementFailed(
                f"dataset {dataset} lies in {found.location}, jobs run in {self._location}",
                code="warehouse_location",
                hint=f"Set BIGQUERY_LOCATION={found.location}; a dataset cannot be moved.",
            )
        return found

    async def _table(self, table: TableRef) -> bigquery.Table | None:
        return await self._found(
            lambda: self._client.get_table(self._reference(table), retry=_ONCE, timeout=_REQUEST_SECONDS)
        )

    async def _found(self, request: Callable[[], T]) -> T | None:
        try:
            return await self.jobs.call(request)
        except StatementFailed as error:
            if error.code in _MISSING:
                return None
            raise

    async def _named(self, dataset: DatasetRef, work: Callable[[], Awaitable[T]]) -> T:
        """What is not found may be the whole dataset: say so."""
        try:
            return await work()
        except StatementFailed as error:
            if error.code in _MISSING and await self._dataset(dataset) is None:
                raise StatementFailed(
                    f"dataset {dataset} does not exist",
                    code="warehouse_not_found",
                    hint=f"Onboard the organization, or run bootstrap. Jobs run in {self._location}"
                    " (BIGQUERY_LOCATION): what lies elsewhere is not found.",
                ) from error
            raise

    async def _rows(
        self, job: bigquery.QueryJob, *, max_rows: int | None = None, limit_bytes: int | None = None
    ) -> pa.Table:
        """The rows of a finished job.

        Raises:
            QueryRejected: more bytes than the limit.
        """

        def fetch() -> pa.Table | None:
            rows = job.result(page_size=self._page_rows, max_results=max_rows, retry=_ONCE, timeout=_REQUEST_SECONDS)
            large = self._endpoint is None and max_rows is None and (rows.total_rows or 0) > self._page_rows
            batches = read_batches(rows, self._storage() if large else None, limit_bytes)
            return None if batches is None else as_arrow(batches, rows.schema)

        table = await self.jobs.call(fetch)
        if table is None:
            raise QueryRejected(f"the result is larger than {limit_bytes} bytes", hint="Select fewer columns or rows.")
        return table

    def _storage(self) -> Any:
        if self._reader is None:
            self._reader = open_reader(self._client)
        return self._reader

    async def _check_dry(
        self,
        dataset: DatasetRef,
        resolved: Translation,
        parameters: Sequence[Parameter],
        named: frozenset[TableRef],
        most: int | None,
    ) -> None:
        """What BigQuery itself makes of a user's statement, before it costs anything."""
        job = await self._named(dataset, lambda: self.jobs.dry_run(resolved.text, parameters=parameters))
        if job.statement_type not in {None, "SELECT"}:
            raise QueryRejected("only SELECT is allowed", hint=_OWN_TABLES)
        outside = {
            found
            for found in job.referenced_tables
            if (found.project, found.dataset_id) != (self._project, dataset.name)
        }
        if outside:
            through = await self._behind_views(named)
            strangers = {f"{found.dataset_id}.{found.table_id}" for found in outside if _path(found) not in through}
            if strangers:
                raise QueryRejected(f"table {min(strangers)} is not in dataset {dataset}", hint=_OWN_TABLES)
        if most is not None and (job.total_bytes_processed or 0) > most:
            raise QueryRejected(
                f"the query would read {job.total_bytes_processed} bytes, the most is {most}",
                code="query_too_large",
                hint="Read fewer days or fewer columns.",
            )

    async def _behind_views(self, named: frozenset[TableRef]) -> frozenset[str]:
        """Full names of the tables that the named views read, through any number of views: the platform made them."""
        seen: set[str] = set()
        waiting = [f"{self._project}.{table}" for table in named]
        while waiting:
            path = waiting.pop()
            found = await self._found(
                lambda path=path: self._client.get_table(path, retry=_ONCE, timeout=_REQUEST_SECONDS)  # type: ignore[misc]  # mypy infers no type for a bound default
            )
            if found is None or found.view_query is None:
                continue
            inside = view_tables(found.view_query) - seen
            seen |= inside
            waiting += inside
        return frozenset(seen)

    def _rejected(self, error: StatementFailed) -> ConvergenceError:
        """The user's fault, save where the platform lacks a right or a credential."""
        if error.code == "statement_timeout":
            seconds = self._read_limits.seconds
            return QueryRejected(
                f"the query ran longer than {seconds:g} s", hint="Read fewer days, or aggregate before joining."
            )
        return QueryRejected(error.message, hint=error.hint) if error.code in _OF_THE_STATEMENT else error

    def _dataset_name(self, dataset: DatasetRef) -> str:
        return f"{self._project}.{dataset.name}"

    def _reference(self, table: TableRef) -> bigquery.TableReference:
        return bigquery.DatasetReference(self._project, table.dataset.name).table(table.name)


def _staged(publish_id: str, table: TableRef, schema: TableSchema, file: ParquetFile) -> Staged:
    stage = TableRef(table.dataset, f"_stage_{publish_id}_{table.name}"[:_NAME_LENGTH]) if file.rows else None
    return Staged(table, schema, stage, file.rows)


async def _fill_rejects(
    file: ParquetFile, schema: TableSchema, rejects: pa.Table | None, window: Window | None
) -> None:
    async def batches() -> AsyncIterator[pa.RecordBatch]:
        for batch in rejects.to_batches() if rejects is not None else []:
            yield batch

    fitter = RowFitter(schema, window if schema.partition_column else None)
    await file.fill(batches(), fitter.fit)


def _loaded(load: Publication, outcomes: Mapping[Any, str]) -> Loaded:
    days = list(load.window.days()) if load.window else []
    if load.claim is None:
        outcomes = dict.fromkeys(days, "replaced")
    return Loaded(
        rows=load.good.rows,
        rejected=load.bad.rows if load.bad else 0,
        days_replaced=tuple(day for day in days if outcomes.get(day) == "replaced"),
        days_unchanged=tuple(day for day in days if outcomes.get(day) == "unchanged"),
    )


def _by_day(rows: pa.Table) -> dict[Any, str]:
    return dict(zip(*(column.to_pylist() for column in rows.columns), strict=True))


def _labels(dataset: DatasetRef, claim: Claim | None = None) -> dict[str, str]:
    labels = {"dataset": dataset.name}
    return labels | {"run": claim.run_id, "stream": claim.stream} if claim else labels


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


def _path(table: bigquery.TableReference) -> str:
    return f"{table.project}.{table.dataset_id}.{table.table_id}"
