"""The company whose accounts these are: its people and their teams, the same at every provider."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from convergence.simulator.chance import draw, identifier

TEAMS = ("Platform", "Search", "Growth", "Data Science", "Support", "Research")
_FIRST = (
    "Ada", "Grace", "Alan", "Katherine", "Edsger", "Barbara", "Donald", "Radia", "Dennis", "Frances",
    "Niklaus", "Shafi", "Tony", "Hedy", "Claude", "Joan", "John", "Karen", "Leslie", "Margaret",
)  # fmt: skip
_LAST = (
    "Moreau", "Okafor", "Lindqvist", "Tanaka", "Rossi", "Novak", "Haddad", "Silva", "Kowalski", "Byrne",
    "Dubois", "Iyer", "Mensah", "Petrov", "Schmidt", "Garcia", "Larsen", "Costa", "Yilmaz", "Nguyen",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Person:
    """A member of the organization. `until` is the first day on which they are gone."""

    id: str
    name: str
    email: str | None
    role: str
    team: str
    added_at: int
    until: date | None = None


def build_people(seed: int, count: int, founded: int, gone: date, *, prefix: str = "user-") -> Iterator[Person]:
    """One of them leaves on the day `gone`, one has no e-mail address. `founded` is a second."""
    shift = draw(seed, "people")
    for index in range(count):
        first = _FIRST[(index + shift) % len(_FIRST)]
        last = _LAST[(index * 7 + index // len(_LAST) + shift) % len(_LAST)]
        suffix = str(index // len(_FIRST)) if index >= len(_FIRST) else ""
        yield Person(
            id=identifier(prefix, seed, index),
            name=f"{first} {last}",
            email=None if index == 4 else f"{first}.{last}{suffix}@example.com".lower(),
            role="owner" if index == 0 else "reader",
            team=TEAMS[index % len(TEAMS)],
            added_at=founded + 86_400 * index,
            until=gone if index == 3 else None,
        )


def earliest(*days: date | None) -> date | None:
    return min((day for day in days if day is not None), default=None)
