"""What a warehouse can do. DuckDB and BigQuery implement it; nothing above knows which one it has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from convergence.kit.window import Window
from convergence.sql import Statement
from convergence.tenancy import DatasetRef, TableRef

if TYPE_CHECKING:
    import pyarrow as pa

    from convergence.catalog.schemas import TableSchema


class WriteMode(StrEnum):
    """How a load meets the rows that are there."""

    APPEND = "append"
    OVERWRITE = "overwrite"
    MERGE = "merge"
    REPLACE_WINDOW = "replace_window"


@dataclass(frozen=True, slots=True)
class Claim:
    """Who publishes: checked inside the publishing transaction and written to the ledger.

    `stream` names what is replaced (`openai.usage`); together with a day it is the scope. `fence` grows each time a
    worker takes ownership; a lower one than the last committed is refused. `amount_column` names the NUMERIC column
    whose sum per day is kept in the ledger for the shrink guard. `part`, a column and its value, says which rows of the
    window are the stream's where several streams share a table: no others are replaced.
    """

    stream: str
    run_id: str
    fence: int
    load_id: str
    amount_column: str | None = None
    part: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load did. `days_unchanged` were the same as committed and were not rewritten."""

    rows: int
    rejected: int = 0
    days_replaced: tuple[date, ...] = ()
    days_unchanged: tuple[date, ...] = ()


@dataclass(frozen=True, slots=True)
class ScopeState:
    """What is committed for one stream and day."""

    stream: str
    day: date
    fence: int
    load_id: str
    run_id: str
    rows: int
    amount: Decimal | None
    content_digest: str


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """What `ensure` did: a table created, columns added, or nothing."""

    created: bool = False
    columns_added: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a statement would touch. `bytes_processed` is None where the engine cannot tell."""

    tables: frozenset[TableRef] = field(default_factory=frozenset)
    bytes_processed: int | None = None


class Warehouse(Protocol):
    """Datasets, tables and atomic loads."""

    async def query(self, statement: Statement, /, *, max_bytes: int | None = None) -> pa.Table:
        """Rows of a SELECT, by BigQuery's types: NUMERIC as decimal128(38, 9), TIMESTAMP as UTC microseconds.

        Raises:
            StatementFailed: the engine refuses it.
        """
        ...

    async def execute(self, statement: Statement, /) -> int:
        """Run one DML statement atomically; the number of rows it changed."""
        ...

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
        """Write these batches in one transaction; readers see the state before or after it, never a mix.

        REPLACE_WINDOW needs a window over the table's partition column: its rows are replaced, no batches at all empty
        it. With a claim each day of the window is a scope: its fence is checked, its ledger row is written in the same
        transaction, and a day whose rows (lineage columns aside) are those committed is left as it is. `rejects`
        (schema of the `_rejects` table) replaces the window's rejected rows in the same transaction.
        MERGE needs keys; NULL equals NULL there. Columns missing from the batches are NULL. Running a load twice
        leaves the same rows, APPEND without a claim aside.

        Raises:
            SchemaMismatch: an unknown column, a type that does not fit, a row outside the window, a duplicate key.
            LeaseLost: a newer fence has published; nothing was written.
            WarehouseBusy: another writer holds the table; nothing was written, safe to retry.
        """
        ...

    async def scopes(self, dataset: DatasetRef, stream: str, window: Window, /) -> list[ScopeState]:
        """The committed days of a stream, in order of day; days never loaded are absent."""
        ...

    async def ensure_dataset(self, dataset: DatasetRef, /) -> bool:
        """Create the dataset where it is missing; whether it was."""
        ...

    async def ensure(self, table: TableRef, schema: TableSchema, /) -> SchemaChange:
        """Create the table or add the columns it lacks; idempotent.

        Raises:
            SchemaMismatch: a column changes type or mode: that needs a new table.
        """
        ...

    async def ensure_view(self, view: TableRef, statement: Statement, /) -> bool:
        """Create or replace a view; whether it was missing."""
        ...

    async def tables(self, dataset: DatasetRef, /) -> list[str]:
        """Names of the dataset's tables and views, sorted; empty where there is no such dataset."""
        ...

    async def drop(self, table: TableRef, /) -> None:
        """Drop a table or view where it exists."""
        ...

    async def drop_dataset(self, dataset: DatasetRef, /) -> None:
        """Drop a dataset with all it holds, where it exists."""
        ...

    async def estimate(self, statement: Statement, /) -> Estimate:
        """Tables a SELECT would read, and bytes where the engine can tell. Runs nothing."""
        ...

    async def read(self, statement: Statement, /, *, max_rows: int, max_bytes: int | None = None) -> pa.Table:
        """Run a statement that a user wrote, walled off: over the org's own tables only, read-only, with limits.

        Sees everything committed before the call. At most `max_rows + 1` rows come back, so that a caller can tell
        whether there were more.

        Raises:
            QueryRejected: not one SELECT, a table that is not the dataset's, or over time, memory or bytes.
        """
        ...

    async def ping(self) -> None:
        """Answer, or raise a TransientError or StatementFailed that says what is down."""
        ...

    async def close(self) -> None: ...
