"""A warehouse that keeps back what is written to it, so that it can be judged before it counts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convergence.errors import UnsupportedError
from convergence.kit.window import Window
from convergence.sql import Statement
from convergence.tenancy import DatasetRef, TableRef
from convergence.warehouse.protocol import Claim, Estimate, Loaded, SchemaChange, ScopeState, Warehouse, WriteMode

if TYPE_CHECKING:
    import pyarrow as pa

    from convergence.catalog.schemas import TableSchema


@dataclass(frozen=True, slots=True)
class HeldLoad:
    """One load as it was asked for."""

    table: TableRef
    batches: tuple[pa.RecordBatch, ...]
    mode: WriteMode
    keys: Sequence[str]
    window: Window | None
    claim: Claim | None
    rejects: pa.Table | None


class Rehearsal:
    """Reads what `stage` has. Loads are held until `perform`, tables are created at once; nothing else is written."""

    def __init__(self, stage: Warehouse) -> None:
        self._stage = stage
        self.held: list[HeldLoad] = []

    async def perform(self) -> list[Loaded]:
        """Do the held loads, in their order."""
        return [await self._load(held) for held in self.held]

    async def _load(self, held: HeldLoad) -> Loaded:
        return await self._stage.load(
            held.table,
            _stream(held.batches),
            mode=held.mode,
            keys=held.keys,
            window=held.window,
            claim=held.claim,
            rejects=held.rejects,
        )

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
        kept = tuple([batch async for batch in batches])
        self.held.append(HeldLoad(table, kept, mode, keys, window, claim, rejects))
        return Loaded(sum(batch.num_rows for batch in kept), rejects.num_rows if rejects is not None else 0)

    async def execute(self, statement: Statement, /) -> int:
        raise _refuse(f"a statement on {statement.dataset.name}")

    async def ensure_view(self, view: TableRef, _statement: Statement, /) -> bool:
        raise _refuse(f"view {view.name}")

    async def drop(self, table: TableRef, /) -> None:
        raise _refuse(f"dropping {table.name}")

    async def drop_dataset(self, dataset: DatasetRef, /) -> None:
        raise _refuse(f"dropping {dataset.name}")

    async def query(self, statement: Statement, /, *, max_bytes: int | None = None) -> pa.Table:
        return await self._stage.query(statement, max_bytes=max_bytes)

    async def read(self, statement: Statement, /, *, max_rows: int, max_bytes: int | None = None) -> pa.Table:
        return await self._stage.read(statement, max_rows=max_rows, max_bytes=max_bytes)

    async def scopes(self, dataset: DatasetRef, stream: str, window: Window, /) -> list[ScopeState]:
        return await self._stage.scopes(dataset, stream, window)

    async def ensure_dataset(self, dataset: DatasetRef, /) -> bool:
        return await self._stage.ensure_dataset(dataset)

    async def ensure(self, table: TableRef, schema: TableSchema, /) -> SchemaChange:
        return await self._stage.ensure(table, schema)

    async def tables(self, dataset: DatasetRef, /) -> list[str]:
        return await self._stage.tables(dataset)

    async def estimate(self, statement: Statement, /) -> Estimate:
        return await self._stage.estimate(statement)

    async def ping(self) -> None:
        await self._stage.ping()

    async def close(self) -> None:
        """Nothing: the stage is whoever's opened it."""


async def _stream(batches: Sequence[pa.RecordBatch]) -> AsyncIterator[pa.RecordBatch]:
    for batch in batches:
        yield batch


def _refuse(what: str) -> UnsupportedError:
    return UnsupportedError(f"a rehearsal holds loads only, not {what}", code="not_rehearsable")
