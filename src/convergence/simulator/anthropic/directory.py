"""Who works here: people, workspaces and keys, and the origins that traffic comes from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from convergence.simulator.chance import draw, identifier
from convergence.simulator.company import TEAMS, Person, build_people, earliest

_WORKSPACE_NAMES = ("Assistants", "Code review", "Translation", "Document search", "Agents", "Evaluation")


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace and the team that pays for it. The default workspace has no id and is in no list."""

    id: str | None
    name: str
    team: str
    created_at: int
    until: date | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of a workspace, made by a person."""

    id: str
    name: str
    workspace_id: str | None
    owner_id: str
    created_at: int
    until: date | None = None


class Origin(NamedTuple):
    """Where traffic comes from: a key, or the Console's Workbench where `api_key_id` is null."""

    workspace_id: str | None
    api_key_id: str | None
    person_id: str | None
    team: str
    weight: int
    until: date | None


@dataclass(frozen=True, slots=True)
class Directory:
    """Everything with an id. Lists of the API show what is left of it; history shows all of it."""

    organization_id: str
    people: tuple[Person, ...]
    workspaces: tuple[Workspace, ...]
    keys: tuple[ApiKey, ...]
    origins: tuple[Origin, ...]


def build_directory(seed: int, *, end_day: date, days: int, people: int, workspaces: int, keys: int) -> Directory:
    """A company of the given size. A workspace is archived, a person leaves and a key is deleted within the days."""
    gone = end_day - timedelta(days=math.ceil(days / 4) if days > 1 else 0)
    founded = int(datetime.combine(end_day - timedelta(days=days + 400), time(), UTC).timestamp())
    members = tuple(build_people(seed, people, founded, gone, prefix="user_"))
    rooms = tuple(_workspaces(seed, workspaces, founded, gone))
    issued = tuple(_keys(seed, keys, members, rooms, gone))
    return Directory(
        organization_id=identifier("org_", seed),
        people=members,
        workspaces=rooms,
        keys=issued,
        origins=(*_key_origins(seed, members, issued), *_workbenches(rooms)),
    )


def _workspaces(seed: int, count: int, founded: int, gone: date) -> Iterator[Workspace]:
    """The default one, then `count` with an id; the last of them is archived."""
    yield Workspace(None, "Default", TEAMS[0], founded)
    for index in range(count):
        name = _WORKSPACE_NAMES[index % len(_WORKSPACE_NAMES)]
        suffix = f" {index // len(_WORKSPACE_NAMES) + 1}" if index >= len(_WORKSPACE_NAMES) else ""
        until = gone if count > 1 and index == count - 1 else None
        team = TEAMS[(index + 1) % len(TEAMS)]
        yield Workspace(identifier("wrkspc_", seed, index), name + suffix, team, founded + 3_600 * index, until)


def _keys(
    seed: int, count: int, people: tuple[Person, ...], workspaces: tuple[Workspace, ...], gone: date
) -> Iterator[ApiKey]:
    """The last one is deleted."""
    for index in range(count):
        room, owner = workspaces[index % len(workspaces)], people[index * 7 % len(people)]
        deleted = gone if index == count - 1 else None
        yield ApiKey(
            id=identifier("apikey_", seed, index),
            name=f"{owner.name.split()[0].lower()}-{index}",
            workspace_id=room.id,
            owner_id=owner.id,
            created_at=room.created_at + 10_800 * index,
            until=earliest(room.until, owner.until, deleted),
        )


def _key_origins(seed: int, people: tuple[Person, ...], keys: tuple[ApiKey, ...]) -> Iterator[Origin]:
    by_id = {person.id: person for person in people}
    for key in keys:
        owner = by_id[key.owner_id]
        weight = 20 + draw(seed, "weight", key.id) % 180
        yield Origin(key.workspace_id, key.id, owner.id, owner.team, weight, key.until)


def _workbenches(workspaces: tuple[Workspace, ...]) -> Iterator[Origin]:
    for room in workspaces:
        yield Origin(room.id, None, None, room.team, 15, room.until)
