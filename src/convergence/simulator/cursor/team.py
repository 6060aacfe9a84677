"""The team: members, service accounts, and the origins that events come from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from convergence.simulator.chance import draw, identifier
from convergence.simulator.company import Person, build_people


class Origin(NamedTuple):
    """Who causes events: a member, or a service account."""

    email: str
    service_account_id: str | None
    service_account_name: str | None
    team: str
    weight: int
    until: date | None


@dataclass(frozen=True, slots=True)
class Team:
    """Everyone who ever was in it. People without an e-mail address have no account at Cursor."""

    members: tuple[Person, ...]
    origins: tuple[Origin, ...]


def build_team(seed: int, *, end_day: date, days: int, people: int) -> Team:
    """One member leaves within the days; a service account works beside them."""
    gone = end_day - timedelta(days=math.ceil(days / 4) if days > 1 else 0)
    founded = int(datetime.combine(end_day - timedelta(days=days + 400), time(), UTC).timestamp())
    members = tuple(person for person in build_people(seed, people, founded, gone, prefix="user_") if person.email)
    return Team(members, (*_members(seed, members), _service_account(seed, members[0].team)))


def _members(seed: int, members: tuple[Person, ...]) -> Iterator[Origin]:
    for person in members:
        weight = 20 + draw(seed, "cursor", person.id) % 180
        yield Origin(person.email or "", None, None, person.team, weight, person.until)


def _service_account(seed: int, team: str) -> Origin:
    identity = identifier("sa_", seed, "nightly")
    return Origin("agent-runner@example.com", identity, "Nightly CI Agent", team, 120, None)
