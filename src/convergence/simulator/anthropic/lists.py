"""Lists of workspaces, people and keys, paged by the id of the last item."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from convergence.simulator.anthropic.directory import ApiKey, Directory
from convergence.simulator.anthropic.refusals import bad_parameter
from convergence.simulator.anthropic.requests import Values, read_limit, single
from convergence.simulator.days import is_there

Item = dict[str, Any]
LIST_PARAMETERS = ("limit", "after_id", "before_id")
_LIMITS = (20, 1_000)


def list_body(items: Iterable[Item], values: Values) -> bytes:
    """One page of items."""
    every = list(items)
    limit = read_limit(values, _LIMITS)
    first = _first(every, values, limit)
    shown = every[first : first + limit]
    return msgspec.json.encode(
        {
            "data": shown,
            "has_more": first + limit < len(every),
            "first_id": shown[0]["id"] if shown else None,
            "last_id": shown[-1]["id"] if shown else None,
        }
    )


def _first(items: Sequence[Item], values: Values, limit: int) -> int:
    after, before = single(values, "after_id"), single(values, "before_id")
    if after is not None:
        return _place(items, "after_id", after) + 1
    return max(0, _place(items, "before_id", before) - limit) if before is not None else 0


def _place(items: Sequence[Item], name: str, wanted: str) -> int:
    place = next((place for place, item in enumerate(items) if item["id"] == wanted), None)
    if place is None:
        raise bad_parameter(name, "Invalid cursor")
    return place


def workspace_items(directory: Directory, today: date, *, include_archived: bool) -> Iterator[Item]:
    """The default workspace is in no list."""
    for place, room in enumerate(directory.workspaces):
        archived = not is_there(room.until, today)
        if room.id is None or (archived and not include_archived):
            continue
        yield {
            "id": room.id,
            "type": "workspace",
            "name": room.name,
            "display_color": f"#{place * 37 % 256:02X}5BB9",
            "created_at": _written(room.created_at),
            "archived_at": f"{room.until}T00:00:00Z" if archived else None,
        }


def user_items(directory: Directory, today: date) -> Iterator[Item]:
    """Who has left is not listed."""
    for person in directory.people:
        if is_there(person.until, today):
            yield {
                "id": person.id,
                "type": "user",
                "email": person.email,
                "name": person.name,
                "role": "admin" if person.role == "owner" else "developer",
                "added_at": _written(person.added_at),
            }


def api_key_items(directory: Directory, today: date, values: Values) -> Iterator[Item]:
    """All keys by default; those that ended are archived."""
    status, room = single(values, "status"), single(values, "workspace_id")
    for key in directory.keys:
        item = _key_item(key, today)
        if status in (None, item["status"]) and room in (None, item["workspace_id"]):
            yield item


def _key_item(key: ApiKey, today: date) -> Item:
    return {
        "id": key.id,
        "type": "api_key",
        "name": key.name,
        "workspace_id": key.workspace_id,
        "created_at": _written(key.created_at),
        "created_by": {"id": key.owner_id, "type": "user"},
        "partial_key_hint": f"sk-ant-api03-{key.id[-3:]}...{key.id[7:11]}",
        "status": "active" if is_there(key.until, today) else "archived",
    }


def organization(directory: Directory) -> bytes:
    return msgspec.json.encode({"id": directory.organization_id, "type": "organization", "name": "Simulated Inc."})


def _written(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
