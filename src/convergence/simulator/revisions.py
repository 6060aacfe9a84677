"""How a provider changes its mind about days gone by."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from convergence.simulator.chance import draws
from convergence.simulator.traffic import Row

KINDS = ("restate", "remove", "clear", "restore")


class Revision(NamedTuple):
    """A change to `days`. `share` is the part of their rows it touches, 0 to 1."""

    number: int
    kind: str
    days: frozenset[date]
    share: float


def apply_revisions(rows: list[Row], revisions: Iterable[Revision], *, seed: int, stream: str, day: date) -> list[Row]:
    """The rows as last stated. `restore` undoes every earlier change of its days."""
    stated = rows
    for revision in revisions:
        if day not in revision.days:
            continue
        chance = draws(2 * len(stated), seed, stream, day, "revision", revision.number)
        limit = int(revision.share * 65_536)
        stated = _revise(stated, revision.kind, chance.tolist(), limit) if revision.kind != "restore" else rows
    return stated


def _revise(rows: list[Row], kind: str, chance: list[int], limit: int) -> list[Row]:
    if kind == "clear":
        return []
    if kind == "remove":
        return [row for place, row in enumerate(rows) if chance[2 * place] >= limit]
    return [
        _scaled(row, 101 + chance[2 * place + 1] % 30) if chance[2 * place] < limit else row
        for place, row in enumerate(rows)
    ]


def _scaled(row: Row, percent: int) -> Row:
    measures = tuple(measure * percent // 100 for measure in row.measures[:-1])
    return row._replace(measures=(*measures, row.measures[-1] + 1))


class RevisedWorld:
    """A world whose provider changes its mind about past days."""

    revisions: tuple[Revision, ...] = ()

    @property
    def revision(self) -> int:
        """How often the provider has changed its mind."""
        return len(self.revisions)

    def revise(self, kind: str, days: Iterable[date], *, share: float = 0.05) -> int:
        """Change past days and return the new revision.

        `restate` changes the figures of a share of rows, `remove` drops a share of rows, `clear` drops them all,
        `restore` undoes every change of these days. Costs follow usage.

        Raises:
            ValueError: another kind, or a share outside 0 to 1.
        """
        if kind not in KINDS or not 0 <= share <= 1:
            raise ValueError(f"a revision is one of {', '.join(KINDS)} with a share from 0 to 1, not {kind!r} {share}")
        self.revisions = (*self.revisions, Revision(self.revision + 1, kind, frozenset(days), share))
        return self.revision

    def reset(self) -> None:
        """Forget every revision."""
        self.revisions = ()
