"""Who works here: people, teams, projects and keys, and the origins that traffic comes from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from convergence.simulator.chance import draw, identifier
from convergence.simulator.company import TEAMS, Person, build_people, earliest

_PROJECT_NAMES = ("Default project", "Search ranking", "Lead scoring", "Forecasting", "Help desk", "Evaluation lab")


@dataclass(frozen=True, slots=True)
class Project:
    """A project and the team that pays for it."""

    id: str
    name: str
    team: str
    created_at: int
    until: date | None = None


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A machine that owns keys."""

    id: str
    name: str
    project_id: str
    created_at: int


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of a project. Its owner is a person or a service account."""

    id: str
    name: str
    project_id: str
    owner_id: str
    created_at: int
    has_project_access: bool = True
    until: date | None = None


class Origin(NamedTuple):
    """Where traffic comes from: a key, or a project's playground where `api_key_id` is null."""

    project_id: str
    api_key_id: str | None
    user_id: str | None
    person_id: str | None
    team: str
    weight: int
    until: date | None


@dataclass(frozen=True, slots=True)
class Directory:
    """Everything with an id. Lists of the API show what is left of it; history shows all of it."""

    organization_id: str
    people: tuple[Person, ...]
    projects: tuple[Project, ...]
    service_accounts: tuple[ServiceAccount, ...]
    keys: tuple[ApiKey, ...]
    origins: tuple[Origin, ...]
    project_origins: tuple[Origin, ...]

    def person(self, person_id: str) -> Person | None:
        return next((person for person in self.people if person.id == person_id), None)

    def project(self, project_id: str) -> Project | None:
        return next((project for project in self.projects if project.id == project_id), None)


class _Company(NamedTuple):
    people: tuple[Person, ...]
    projects: tuple[Project, ...]
    machines: tuple[ServiceAccount, ...]


def build_directory(seed: int, *, end_day: date, days: int, people: int, projects: int, keys: int) -> Directory:
    """A company of the given size. One project ends, one person leaves and one key is deleted within the days."""
    gone = end_day - timedelta(days=math.ceil(days / 4) if days > 1 else 0)
    founded = int(datetime.combine(end_day - timedelta(days=days + 400), time(), UTC).timestamp())
    members = tuple(build_people(seed, people, founded, gone))
    efforts = tuple(_projects(seed, projects, founded, gone))
    machines = tuple(_service_accounts(seed, efforts, founded))
    company = _Company(members, efforts, machines)
    issued = _hide_one(tuple(_keys(seed, keys, company, founded=founded, gone=gone)))
    return Directory(
        organization_id=identifier("org-", seed),
        people=members,
        projects=efforts,
        service_accounts=machines,
        keys=issued,
        origins=tuple(_origins(seed, members, efforts, issued)),
        project_origins=tuple(_project_origins(efforts)),
    )


def _projects(seed: int, count: int, founded: int, gone: date) -> Iterator[Project]:
    for index in range(count):
        archived = count > 1 and index == count - 1
        name = "Legacy chatbot" if archived else _PROJECT_NAMES[index % len(_PROJECT_NAMES)]
        suffix = f" {index // len(_PROJECT_NAMES) + 1}" if index >= len(_PROJECT_NAMES) and not archived else ""
        yield Project(
            id=identifier("proj_", seed, index),
            name=name + suffix,
            team=TEAMS[index % len(TEAMS)],
            created_at=founded + 3_600 * index,
            until=gone if archived else None,
        )


def _service_accounts(seed: int, projects: tuple[Project, ...], founded: int) -> Iterator[ServiceAccount]:
    for index, project in enumerate(projects):
        name = f"{project.name.lower().replace(' ', '-')}-worker"
        yield ServiceAccount(identifier("svc_acct_", seed, index), name, project.id, founded + 7_200 * index)


def _keys(seed: int, count: int, company: _Company, *, founded: int, gone: date) -> Iterator[ApiKey]:
    """Every fourth key belongs to a service account. The last one is deleted."""
    for index in range(count):
        place = (index * 5 + index // len(company.projects)) % len(company.projects)
        project, machine = company.projects[place], company.machines[place]
        owner = None if index % 4 == 2 else company.people[index * 3 // 4 % len(company.people)]
        deleted = gone if index == count - 1 else None
        yield ApiKey(
            id=identifier("key_", seed, index),
            name=f"{owner.name.split()[0].lower() if owner else machine.name}-{index}",
            project_id=project.id,
            owner_id=owner.id if owner else machine.id,
            created_at=founded + 10_800 * index,
            until=earliest(project.until, owner.until if owner else None, deleted),
        )


def _hide_one(keys: tuple[ApiKey, ...]) -> tuple[ApiKey, ...]:
    """The last key that stays belongs to someone who lost access to its project."""
    hidden = next((key for key in reversed(keys) if key.until is None), None)
    return tuple(replace(key, has_project_access=False) if key is hidden else key for key in keys)


def _origins(
    seed: int, people: tuple[Person, ...], projects: tuple[Project, ...], keys: tuple[ApiKey, ...]
) -> Iterator[Origin]:
    """One origin a key, and one playground a project, so that project and key always tell the user."""
    by_id = {person.id: person for person in people}
    teams = {project.id: project.team for project in projects}
    for key in keys:
        owner = by_id.get(key.owner_id)
        team = owner.team if owner else teams[key.project_id]
        weight = 20 + draw(seed, "weight", key.id) % 180
        yield Origin(key.project_id, key.id, key.owner_id, owner.id if owner else None, team, weight, key.until)
    for index, project in enumerate(projects):
        user = people[index % len(people)] if index % 2 else None
        until = earliest(project.until, user.until if user else None)
        user_id = user.id if user else None
        yield Origin(project.id, None, user_id, user_id, user.team if user else project.team, 15, until)


def _project_origins(projects: tuple[Project, ...]) -> Iterator[Origin]:
    """What the provider states by project only: storage, sessions, fees, credits."""
    for project in projects:
        yield Origin(project.id, None, None, None, project.team, 60, project.until)
