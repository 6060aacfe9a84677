"""Lists of projects, people and keys, paged by the id of the last item."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import msgspec

from convergence.kit.window import midnight
from convergence.simulator.chance import identifier
from convergence.simulator.company import Person
from convergence.simulator.openai.directory import ApiKey, Directory, Project, ServiceAccount
from convergence.simulator.openai.refusals import bad_parameter, not_found, unknown_parameter

Item = dict[str, Any]
_DAY_SECONDS = 86_400


def encode(item: Item) -> bytes:
    return msgspec.json.encode(item)


def read_list_parameters(pairs: Sequence[tuple[str, str]], known: Sequence[str]) -> dict[str, list[str]]:
    """Gather the parameters of a list.

    Raises:
        Refusal: 400 that names an unknown parameter.
    """
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        if name.removesuffix("[]") not in known:
            raise unknown_parameter(name)
        values.setdefault(name.removesuffix("[]"), []).append(value)
    return values


def list_body(items: Iterable[Item], values: Mapping[str, list[str]], *, default_limit: int = 20) -> bytes:
    """One page of items. As at the vendor, `last_id` is not the id of the last item of `data`."""
    every = list(items)
    limit = _limit(values, default_limit)
    first = _first(every, values)
    shown = every[first : first + limit]
    return msgspec.json.encode(
        {
            "object": "list",
            "data": shown,
            "first_id": shown[0]["id"] if shown else None,
            "last_id": identifier("id-", shown[-1]["id"], width=8) if shown else None,
            "has_more": first + limit < len(every),
        }
    )


def _limit(values: Mapping[str, list[str]], default: int) -> int:
    text = values.get("limit", [str(default)])[-1]
    if not text.isascii() or not text.isdigit():
        raise bad_parameter("limit", "Invalid type for 'limit': expected an integer.", "invalid_type")
    if not 1 <= int(text) <= 100:
        raise bad_parameter("limit", "'limit' must be between 1 and 100.")
    return int(text)


def _first(items: Sequence[Item], values: Mapping[str, list[str]]) -> int:
    after = values.get("after", [None])[-1]
    if after is None:
        return 0
    for place, item in enumerate(items):
        if item["id"] == after:
            return place + 1
    raise bad_parameter("after", f"No item with id '{after}'.")


def project_items(directory: Directory, today: date, *, include_archived: bool) -> Iterator[Item]:
    for project in directory.projects:
        item = _project_item(project, today)
        if include_archived or item["status"] == "active":
            yield item


def project_item(directory: Directory, project_id: str, today: date) -> Item:
    return _project_item(find_project(directory, project_id), today)


def find_project(directory: Directory, project_id: str) -> Project:
    """The project, archived or not.

    Raises:
        Refusal: 404.
    """
    project = directory.project(project_id)
    if project is None:
        raise not_found(f"project: {project_id}")
    return project


def user_items(directory: Directory, today: date, emails: Sequence[str] = ()) -> Iterator[Item]:
    for person in directory.people:
        if _is_there(person.until, today) and (not emails or person.email in emails):
            yield _user_item(person, "organization.user")


def project_user_items(directory: Directory, project_id: str, today: date) -> Iterator[Item]:
    """People with a key in the project."""
    owners = {key.owner_id for key in directory.keys if key.project_id == find_project(directory, project_id).id}
    for person in directory.people:
        if person.id in owners and _is_there(person.until, today):
            yield _user_item(person, "organization.project.user")


def service_account_items(directory: Directory, project_id: str) -> Iterator[Item]:
    project = find_project(directory, project_id)
    for machine in directory.service_accounts:
        if machine.project_id == project.id:
            yield {"object": "organization.project.service_account", **_service_account(machine)}


def api_key_items(directory: Directory, project_id: str, now: datetime, access: str) -> Iterator[Item]:
    """Keys of a project that still exist, by whether their owner can still reach it."""
    project = find_project(directory, project_id)
    for key in directory.keys:
        held = "active" if key.has_project_access else "inactive"
        if key.project_id == project.id and _is_there(key.until, now.date()) and access in {"any", held}:
            yield _key_item(directory, key, held, now)


def admin_key_items(directory: Directory) -> Iterator[Item]:
    owner = directory.people[0]
    yield {
        "object": "organization.admin_api_key",
        "id": identifier("key_", directory.organization_id, "admin"),
        "name": "Cost reporting",
        "redacted_value": "sk-admin...tion",
        "created_at": owner.added_at,
        "expires_at": None,
        "last_used_at": None,
        "owner": {"type": "user", **_user_item(owner, "organization.user"), "created_at": owner.added_at},
    }


def spend_limit() -> Item:
    return {
        "object": "organization.spend_limit",
        "threshold_amount": 10_000,
        "currency": "USD",
        "interval": "month",
        "enforcement": {"status": "enforcing"},
    }


def _project_item(project: Project, today: date) -> Item:
    archived = not _is_there(project.until, today)
    archived_at = int(midnight(project.until).timestamp()) if archived and project.until else None
    return {
        "id": project.id,
        "object": "organization.project",
        "name": project.name,
        "created_at": project.created_at,
        "archived_at": archived_at,
        "status": "archived" if archived else "active",
    }


def _user_item(person: Person, kind: str) -> Item:
    return {
        "object": kind,
        "id": person.id,
        "name": person.name,
        "email": person.email,
        "role": person.role,
        "added_at": person.added_at,
    }


def _service_account(machine: ServiceAccount) -> Item:
    return {"id": machine.id, "name": machine.name, "role": "member", "created_at": machine.created_at}


def _key_item(directory: Directory, key: ApiKey, access: str, now: datetime) -> Item:
    return {
        "object": "organization.project.api_key",
        "redacted_value": f"sk-...{key.id[-4:]}",
        "name": key.name,
        "created_at": key.created_at,
        "last_used_at": int(now.timestamp()) // _DAY_SECONDS * _DAY_SECONDS,
        "id": key.id,
        "owner_project_access": access,
        "owner": _owner(directory, key),
    }


def _owner(directory: Directory, key: ApiKey) -> Item:
    person = directory.person(key.owner_id)
    if person is not None:
        user = {"id": person.id, "name": person.name, "email": person.email, "role": person.role}
        return {"type": "user", "user": {**user, "created_at": person.added_at}}
    machine = next(machine for machine in directory.service_accounts if machine.id == key.owner_id)
    return {"type": "service_account", "service_account": _service_account(machine)}


def _is_there(until: date | None, today: date) -> bool:
    return until is None or today < until
