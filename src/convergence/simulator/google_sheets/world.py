"""A spreadsheet of a company: who is in which team, and who has which key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from convergence.simulator.chance import identifier
from convergence.simulator.company import TEAMS, build_people

_HEADER = ["Provider", "API key id", "Person e-mail", "Team", "Cost center", "Valid from", "Note"]


@dataclass(slots=True)
class Tab:
    """A tab keeps its id when it is renamed. Cells are text, numbers, bools, days or None."""

    sheet_id: int
    title: str
    cells: list[list[Any]] = field(default_factory=list)


class GoogleSheetsWorld:
    """One spreadsheet, by default with the team of every person of the company of this seed.

    A service account opens it where `is_shared`, an API key where `is_public`.
    """

    def __init__(
        self,
        seed: int = 7,
        *,
        people: int = 12,
        tabs: Sequence[Tab] | None = None,
        is_shared: bool = True,
        is_public: bool = False,
    ) -> None:
        self.seed = seed
        self.title = "Keys and people"
        self.spreadsheet_id = identifier("1", seed, "spreadsheet")
        self.client_email = f"convergence-{seed}@simulated.iam.gserviceaccount.com"
        self.is_shared = is_shared
        self.is_public = is_public
        self._people = people
        self._given = tabs
        self.tabs: list[Tab] = []
        self.reset()

    @property
    def revision(self) -> int:
        return 0

    def revise(self, kind: str, days: Iterable[date], *, share: float = 0.05) -> int:
        """A sheet has no past days to change."""
        del kind, days, share
        return self.revision

    def reset(self) -> None:
        """The tabs as they were at first."""
        tabs = [Tab(0, "Mapping", self._mapping())] if self._given is None else self._given
        self.tabs = [Tab(tab.sheet_id, tab.title, [list(line) for line in tab.cells]) for tab in tabs]

    def truth(self, now: datetime) -> dict[str, Any]:
        """The team of every e-mail address of the default sheet."""
        del now
        return {"teams": {person.email: person.team for person in self._company() if person.email}}

    def _mapping(self) -> list[list[Any]]:
        lines = [
            [None, None, person.email, person.team, str(100 + 10 * TEAMS.index(person.team))]
            for person in self._company()
            if person.email
        ]
        return [list(_HEADER), *lines]

    def _company(self) -> list[Any]:
        return list(build_people(self.seed, self._people, 0, date.max))
