"""openai.directory: projects, API keys and people as they are now; what has vanished keeps its row."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from convergence.connectors import AfterId, ProviderClient
from convergence.costs.directory import Directory, Row, name_person
from convergence.processors.openai._client import PROVIDER, open_client
from convergence.steps import StepContext, StepResult

STREAM = "openai.directory"
_PAGE = ("limit", "100")


class Config(BaseModel):
    """`requests_per_second` slows it down for an organization with many projects."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_second: float | None = Field(default=None, gt=0)


def get_engine() -> DirectoryProcessor:
    return DirectoryProcessor()


class DirectoryProcessor:
    """Lists everything first and writes then, so that half a list never marks the rest as deleted."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        lists = await _read_lists(await open_client(context, config.requests_per_second))
        directory = Directory(context, PROVIDER)
        for table, rows in lists.items():
            await directory.merge(table, rows)
        await directory.write_people([_account(user) for user in lists["openai_users"]])
        await directory.write_keys([_ownership(key) for key in lists["openai_api_keys"]])
        counts = {table: len(rows) for table, rows in lists.items()}
        return StepResult(sum(counts.values()), {"listed": counts, "vanished": directory.vanished})


async def _read_lists(client: ProviderClient) -> dict[str, list[Row]]:
    projects = await _read(client, "/organization/projects", [_PAGE, ("include_archived", "true")])
    users = [_user(item) for item in await _read(client, "/organization/users", [_PAGE])]
    keys: list[Row] = []
    for project in projects:
        of_project = {"project_id": str(project["id"])}
        path = "/organization/projects/{project_id}"
        # `any`, otherwise the keys of people who have lost their access are hidden.
        wanted = [_PAGE, ("owner_project_access", "any")]
        keys += [_key(item, project) for item in await _read(client, f"{path}/api_keys", wanted, of_project)]
        machines = await _read(client, f"{path}/service_accounts", [_PAGE], of_project)
        users += [_machine(item, project) for item in machines]
    return {
        "openai_projects": [_project(item) for item in projects],
        "openai_api_keys": keys,
        "openai_users": users,
    }


async def _read(
    client: ProviderClient, path: str, params: list[tuple[str, str]], path_values: Mapping[str, str] | None = None
) -> list[Row]:
    """All items of a list that have an id."""
    pages = client.pages(path, params, AfterId(), stream=STREAM, path_values=path_values)
    return [item async for page in pages for item in page.envelope.get("data", ()) if item.get("id")]


def _project(item: Row) -> Row:
    return {
        "id": item["id"],
        "name": item.get("name"),
        "status": item.get("status"),
        "created_at": _moment(item.get("created_at")),
        "archived_at": _moment(item.get("archived_at")),
    }


def _user(item: Row) -> Row:
    return {
        "id": item["id"],
        "type": "user",
        "name": item.get("name"),
        "email": item.get("email"),
        "role": item.get("role"),
        "added_at": _moment(item.get("added_at")),
    }


def _machine(item: Row, project: Row) -> Row:
    return {
        "id": item["id"],
        "type": "service_account",
        "project_id": project["id"],
        "name": item.get("name"),
        "role": item.get("role"),
        "added_at": _moment(item.get("created_at")),
    }


def _key(item: Row, project: Row) -> Row:
    owner = item.get("owner") or {}
    whom = owner.get(owner.get("type") or "") or {}
    return {
        "id": item["id"],
        "project_id": project["id"],
        "name": item.get("name"),
        "redacted_value": item.get("redacted_value"),
        "created_at": _moment(item.get("created_at")),
        "last_used_at": _moment(item.get("last_used_at")),
        "owner_type": owner.get("type"),
        "owner_id": whom.get("id"),
        "owner_name": whom.get("name"),
        "owner_email": whom.get("email"),
        "owner_project_access": item.get("owner_project_access"),
    }


def _account(user: Row) -> Row:
    return {
        "user_id": user["id"],
        "person": name_person(user.get("email")),
        "name": user.get("name"),
        "type": user["type"],
    }


def _ownership(key: Row) -> Row:
    return {
        "api_key_id": key["id"],
        "name": key.get("name"),
        "project_id": key["project_id"],
        "owner_id": key.get("owner_id"),
        "owner_type": key.get("owner_type"),
        "person": name_person(key.get("owner_email")),
        "masked_key": key.get("redacted_value"),
    }


def _moment(seconds: Any) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int) and not isinstance(seconds, bool) else None
