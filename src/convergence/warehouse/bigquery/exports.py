"""Tables of a customer's project, read with the customer's service account and never written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pyarrow as pa
from google.api_core.retry import Retry, if_exception_type
from google.auth import exceptions as auth
from google.auth.credentials import AnonymousCredentials, Credentials
from google.cloud import bigquery
from google.oauth2 import service_account

from convergence.errors import (
    ConvergenceError,
    ProviderRejected,
    ProviderUnavailable,
    QueryRejected,
    StatementFailed,
    StepFailed,
    WarehouseBusy,
)
from convergence.kit.window import Window, midnight
from convergence.warehouse.bigquery.jobs import Jobs
from convergence.warehouse.bigquery.results import as_arrow, read_batches

if TYPE_CHECKING:
    from google.cloud.bigquery.table import RowIterator

T = TypeVar("T")
SCOPE: Final = "https://www.googleapis.com/auth/bigquery"
PARTITION_DATE: Final = "partition_date"
_TIMEOUT: Final = timedelta(minutes=20)
_REQUEST_SECONDS: Final = 60.0
_PAGE_ROWS: Final = 20_000
_ONCE: Final = Retry(predicate=if_exception_type())  # of no type: the client never repeats, Jobs does


@dataclass(frozen=True, slots=True)
class ExportTable:
    """A table as tables.get describes it. `load_time` is the expression that says when Google wrote a row."""

    project: str
    dataset: str
    table: str
    location: str
    columns: tuple[str, ...]
    load_time: str
    rows: int | None = None

    @property
    def path(self) -> str:
        return f"{self.project}.{self.dataset}.{self.table}"


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read: these columns of the rows that were loaded in the window."""

    table: ExportTable
    columns: Sequence[str]
    window: Window

    @property
    def sql(self) -> str:
        wanted = ", ".join(f"`{name}`" for name in self.columns)
        return f"SELECT {wanted}, DATE({self.table.load_time}) AS {PARTITION_DATE} FROM {self.source}"

    @property
    def sizes_sql(self) -> str:
        return (
            f"SELECT DATE({self.table.load_time}) AS {PARTITION_DATE}, COUNT(*) AS row_count FROM {self.source}"
            " GROUP BY 1 ORDER BY 1"
        )

    @property
    def source(self) -> str:
        loaded = self.table.load_time
        return f"`{self.table.path}` WHERE {loaded} >= @load_start AND {loaded} < @load_end"

    @property
    def parameters(self) -> list[bigquery.ScalarQueryParameter]:
        return [
            bigquery.ScalarQueryParameter("load_start", "TIMESTAMP", midnight(self.window.start)),
            bigquery.ScalarQueryParameter("load_end", "TIMESTAMP", midnight(self.window.end)),
        ]


class ExportReader:
    """One service account. `job_project` is billed for the queries; `max_bytes` is the most that one may read.

    With an `endpoint`, that of an emulator, nobody logs in.
    """

    def __init__(
        self, key: Mapping[str, str], job_project: str, *, endpoint: str | None = None, max_bytes: int | None = None
    ) -> None:
        options = {"api_endpoint": endpoint} if endpoint else None
        self._client = bigquery.Client(job_project, _credentials(key, endpoint), client_options=options)
        self._email = key.get("client_email", "the service account")
        self._job_project = job_project
        self._max_bytes = max_bytes
        self._jobs: dict[str, Jobs] = {}

    async def list_tables(self, project: str, dataset: str) -> list[str]:
        """Names of the dataset's tables, sorted.

        Raises:
            ProviderRejected: no access, or no such dataset; the hint names the role.
            ProviderUnavailable: BigQuery cannot be asked now.
        """

        def ask() -> list[str]:
            reference = bigquery.DatasetReference(project, dataset)
            tables = self._client.list_tables(reference, retry=_ONCE, timeout=_REQUEST_SECONDS)
            return sorted(table.table_id for table in tables)

        return await self._call(ask, f"dataset {project}.{dataset}")

    async def describe(self, project: str, dataset: str, table: str) -> ExportTable:
        """Columns, location and size; free of charge. Raises as `list_tables`."""

        def ask() -> bigquery.Table:
            reference = bigquery.DatasetReference(project, dataset).table(table)
            return self._client.get_table(reference, retry=_ONCE, timeout=_REQUEST_SECONDS)

        found = await self._call(ask, f"table {project}.{dataset}.{table}")
        return ExportTable(
            project=project,
            dataset=dataset,
            table=table,
            location=found.location or "US",
            columns=tuple(field.name for field in found.schema),
            load_time=_load_time(found),
            rows=found.num_rows,
        )

    async def estimate(self, reading: Reading) -> int:
        """Bytes that the reading would be billed for, by a dry run; free of charge. Raises as `list_tables`."""
        with self._explained(f"table {reading.table.path}", reading.table.location):
            job = await self._at(reading.table.location).dry_run(reading.sql, parameters=reading.parameters)
        return int(job.total_bytes_processed or 0)

    async def sizes(self, reading: Reading) -> dict[Any, int]:
        """Rows of each day of the window that has any. Raises as `list_tables`."""
        table = await self._query(reading, reading.sizes_sql)
        return {row[PARTITION_DATE]: row["row_count"] for row in table.to_pylist()}

    async def read(self, reading: Reading) -> pa.Table:
        """The rows, with `partition_date`, the UTC day on which they were loaded.

        Raises:
            StepFailed: export_too_large: it would read more than `max_bytes`; nothing was read or billed.
            ProviderRejected, ProviderUnavailable: as `list_tables`.
        """
        return await self._query(reading, reading.sql)

    async def close(self) -> None:
        for jobs in self._jobs.values():
            jobs.close()
        await asyncio.to_thread(self._client.close)

    async def _query(self, reading: Reading, sql: str) -> pa.Table:
        jobs = self._at(reading.table.location)
        with self._explained(f"table {reading.table.path}", reading.table.location):
            job = await jobs.query(sql, parameters=reading.parameters, max_bytes=self._max_bytes, timeout=_TIMEOUT)
            return await jobs.call(lambda: _fetch(job))

    def _at(self, location: str) -> Jobs:
        """Jobs run where the data lies."""
        if location not in self._jobs:
            self._jobs[location] = Jobs(self._client, location=location, attempts=4, threads=2)
        return self._jobs[location]

    async def _call(self, request: Callable[[], T], what: str) -> T:
        with self._explained(what, None):
            return await self._at("").call(request)

    @contextmanager
    def _explained(self, what: str, location: str | None) -> Iterator[None]:
        """The warehouse's own errors, told to whoever owns the export."""
        try:
            yield
        except (StatementFailed, WarehouseBusy, QueryRejected) as error:
            raise self._explain(error, what, location) from error

    def _explain(self, error: ConvergenceError, what: str, location: str | None) -> ConvergenceError:
        if isinstance(error, WarehouseBusy):
            return ProviderUnavailable(f"{what}: {error.message}", retry_after=error.retry_after, hint=error.hint)
        if isinstance(error, QueryRejected):
            hint = "Raise max_bytes_billed of the step, or load fewer days at a time."
            return StepFailed(f"{what}: {error.message}", code="export_too_large", hint=hint)
        code, status, hint = self._refusal(error.code, location)
        return ProviderRejected(f"{what}: {error.message}", status=status, code=code, hint=hint)

    def _refusal(self, code: str, location: str | None) -> tuple[str, int, str]:
        match code:
            case "warehouse_denied":
                return "export_denied", 403, self._roles
            case "warehouse_not_found":
                return "export_not_found", 404, _describe_missing(location)
            case "warehouse_unauthenticated":
                hint = f"Google does not accept the key of {self._email}: it was deleted or disabled. Make a new one."
                return "export_unauthenticated", 401, hint
            case "warehouse_disabled":
                enable = f"gcloud services enable bigquery.googleapis.com --project {self._job_project}"
                return "export_disabled", 403, f"Enable the BigQuery API and billing in {self._job_project}: {enable}."
        return "export_refused", 400, "See whether the table is a Cloud Billing export."

    @property
    def _roles(self) -> str:
        return (
            f"Grant {self._email} roles/bigquery.dataViewer on the export's dataset and roles/bigquery.jobUser on"
            f" {self._job_project}. BigQuery says the same of a project that does not exist."
        )


def _describe_missing(location: str | None) -> str:
    place = f"in {location}, where its table said" if location else "where you think"
    return (
        f"Check project, dataset and table, and that the dataset lies {place}: from another location it is not found"
        " either. A new export makes its table some hours after it was switched on."
    )


def _credentials(key: Mapping[str, str], endpoint: str | None) -> Credentials:
    if endpoint:
        return AnonymousCredentials()  # type: ignore[no-untyped-call]  # google-auth's constructor has no annotations
    try:
        made: Credentials = service_account.Credentials.from_service_account_info(dict(key), scopes=[SCOPE])  # type: ignore[no-untyped-call]  # google-auth has no annotations
    except (ValueError, auth.GoogleAuthError):
        # Not `from`: the library's own message may hold the key.
        raise ProviderRejected(
            "the private key of the service account cannot be read",
            status=401,
            code="export_unauthenticated",
            hint="Paste the whole JSON key file, with the line breaks of private_key as \\n.",
        ) from None
    return made


def _load_time(table: bigquery.Table) -> str:
    """The pseudo-column of a table partitioned by ingestion, as Google's own exports are; a copy may have none."""
    partitioning = table.time_partitioning
    return "_PARTITIONTIME" if partitioning is not None and partitioning.field is None else "export_time"


def _fetch(job: bigquery.QueryJob) -> pa.Table:
    rows: RowIterator = job.result(page_size=_PAGE_ROWS)
    return as_arrow(read_batches(rows, None, None) or [], rows.schema)
