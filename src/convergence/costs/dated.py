"""Records that hold from day to day and that people edit: no two of the same thing ever hold on one day."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Generic, Protocol, Self, TypeVar

from convergence.costs.records import RecordTable
from convergence.errors import Conflict, Fault, NotFound


class Dated(Protocol):
    """It holds from `valid_from` up to, and without, `valid_to`; None is open."""

    @property
    def valid_from(self) -> date | None: ...

    @property
    def valid_to(self) -> date | None: ...

    def overlaps(self, other: Self, /) -> bool:
        """Whether both are of the same thing and hold on some day."""
        ...


Record = TypeVar("Record", bound=Dated)


@dataclass(frozen=True, slots=True)
class DatedRecords(Generic[Record]):
    """The records of one table. `describe` names one for messages, `noun` is what they are: price, plan."""

    table: RecordTable
    noun: str
    read: Callable[[Mapping[str, Any]], Record]
    write: Callable[[Record], dict[str, Any]]
    describe: Callable[[Record], str]
    load_seed: Callable[[], list[Record]]

    async def read_all(self) -> list[Record]:
        """All of them, in order of their keys."""
        await self.table.ensure()
        return [self.read(row) for row in await self.table.rows()]

    async def create(self, record: Record) -> Record:
        """Raises Conflict where it overlaps another."""
        self._refuse_overlap(record, await self.read_all())
        await self.put([record])
        return record

    async def change(self, old: Record, new: Record, existing: Iterable[Record]) -> Record:
        """Write one with the keys of `old` in its place; Conflict where it overlaps another."""
        self._refuse_overlap(new, [other for other in existing if other is not old])
        await self.put([new])
        return new

    async def remove(self, gone: Sequence[Record], name: str) -> int:
        """How many; NotFound where there are none."""
        if not gone:
            raise self.missing(name)
        for record in gone:
            await self.table.remove(self.write(record))
        return len(gone)

    async def reset(self) -> list[Record]:
        """Put those of the seed in place of all others; ConfigError, and nothing written, where it is wrong."""
        records = self.load_seed()
        await self.table.ensure()
        await self.table.replace([self.write(record) for record in records])
        return records

    async def open(self) -> list[Record]:
        """All of them; where there are none, those of the seed, which are written."""
        return await self.read_all() or await self.reset()

    async def initialize(self) -> bool:
        """Take those of the seed where there are none; whether they were taken."""
        if await self.read_all():
            return False
        await self.reset()
        return True

    async def put(self, records: Iterable[Record]) -> None:
        """Write over those with the same keys."""
        await self.table.put(self.write(record) for record in records)

    def newest(self, found: Sequence[Record], name: str) -> Record:
        """The one that began last; NotFound where there are none."""
        if not found:
            raise self.missing(name)
        return max(found, key=lambda record: record.valid_from or date.min)

    def missing(self, name: str) -> NotFound:
        return NotFound(
            f"there is no such {self.noun} as {name!r}", hint=f"List the {self.noun}s to see what there is."
        )

    def _refuse_overlap(self, record: Record, others: Iterable[Record]) -> None:
        for other in others:
            if record.overlaps(other):
                raise Conflict(
                    f"{self.describe(record)} has a {self.noun} from {other.valid_from or 'the beginning'}"
                    f" to {other.valid_to or 'now'}, which overlaps",
                    code=f"{self.noun}_overlaps",
                    hint=f"End the old {self.noun} with valid_to first, or update it.",
                )


def check_span(start: date | None, end: date | None) -> list[Fault]:
    """What is wrong with a first day and the day after the last."""
    if start is None or end is None or end > start:
        return []
    return [Fault(f"{end} is not after valid_from {start}", key="valid_to", expected="the day after the last")]
