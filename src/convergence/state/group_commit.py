"""Many writers, one commit: what piles up while a commit runs goes into the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from convergence.errors import StoreUnavailable
from convergence.state.journal import Record


@dataclass(frozen=True, slots=True)
class _Change:
    record: Record
    undo: Callable[[], None]


class GroupCommit:
    """Hands records to `append` in the order they came, one batch at a time.

    When a commit fails, it and everything that was built on top of it is undone, newest first, and every writer hears
    of it: memory never runs ahead of the file.
    """

    def __init__(self, append: Callable[[Sequence[Record]], Awaitable[None]]) -> None:
        self._append = append
        self._changes: list[_Change] = []
        self._outcome: asyncio.Future[None] | None = None
        self._drain: asyncio.Task[None] | None = None

    async def commit(self, record: Record, undo: Callable[[], None]) -> None:
        """Return when the record is durable.

        Raises:
            StoreUnavailable: it is not, and has been undone.
        """
        if self._outcome is None:
            self._outcome = _outcome()
        outcome = self._outcome
        self._changes.append(_Change(record, undo))
        if self._drain is None or self._drain.done():
            self._drain = asyncio.create_task(self._write_all())
        await asyncio.shield(outcome)  # a cancelled writer does not take its neighbours along

    async def flush(self) -> None:
        """Return when nothing waits any more."""
        if self._drain is not None:
            await asyncio.wait([self._drain])

    async def _write_all(self) -> None:
        while self._changes:
            changes, outcome = self._take()
            newest = {(change.record.kind, change.record.key): change.record for change in changes}
            try:
                await self._append(list(newest.values()))
            except StoreUnavailable as error:
                self._fail(changes, outcome, error)
            else:
                outcome.set_result(None)

    def _take(self) -> tuple[list[_Change], asyncio.Future[None]]:
        changes, outcome = self._changes, self._outcome or _outcome()
        self._changes, self._outcome = [], None
        return changes, outcome

    def _fail(self, changes: list[_Change], outcome: asyncio.Future[None], error: StoreUnavailable) -> None:
        later, later_outcome = self._take()
        for change in reversed([*changes, *later]):
            change.undo()
        outcome.set_exception(error)
        later_outcome.set_exception(error)


def _outcome() -> asyncio.Future[None]:
    outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    outcome.add_done_callback(lambda done: done.cancelled() or done.exception())  # heard, even if nobody waits
    return outcome
