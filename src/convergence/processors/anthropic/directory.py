"""anthropic.directory: workspaces, API keys and people as they are now; what has vanished keeps its row."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from convergence.connectors import AfterId, ProviderClient
from convergence.costs.directory import Directory, Row, name_person
from convergence.processors.anthropic._client import PROVIDER, open_client
from convergence.sql import Statement
from convergence.steps import StepContext, StepResult

STREAM = "anthropic.directory"
DEFAULT_WORKSPACE = "default"
_PAGE = ("limit", "1000")


class Config(BaseModel):
    """`requests_per_second` slows it down."""

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
        emails = await _read_emails(context)
        await directory.write_people([_account(user) for user in lists["anthropic_users"]])
        await directory.write_keys([_ownership(key, emails) for key in lists["anthropic_api_keys"]])
        counts = {table: len(rows) for table, rows in lists.items()}
        return StepResult(sum(counts.values()), {"listed": counts, "vanished": directory.vanished})


async def _read_lists(client: ProviderClient) -> dict[str, list[Row]]:
    workspaces = await _read(client, "workspaces", ("include_archived", "true"))
    return {
        "anthropic_workspaces": [_default_workspace(), *(_workspace(item) for item in workspaces)],
        "anthropic_api_keys": [_key(item) for item in await _read(client, "api_keys")],
        "anthropic_users": [_user(item) for item in await _read(client, "users")],
    }


async def _read(client: ProviderClient, name: str, *params: tuple[str, str]) -> list[Row]:
    """All items of a list that have an id."""
    path = f"/v1/organizations/{name}"
    pages = client.pages(path, [_PAGE, *params], AfterId(param="after_id"), stream=f"{STREAM}.{name}")
    return [item async for page in pages for item in page.envelope.get("data", ()) if item.get("id")]


def _default_workspace() -> Row:
    """The provider lists every workspace but this one, whose id is null wherever it is named."""
    return {"id": DEFAULT_WORKSPACE, "name": "Default", "is_default": True}


def _workspace(item: Row) -> Row:
    return {
        "id": item["id"],
        "name": item.get("name"),
        "display_color": item.get("display_color"),
        "is_default": False,
        "created_at": _moment(item.get("created_at")),
        "archived_at": _moment(item.get("archived_at")),
    }


def _key(item: Row) -> Row:
    owner_id, owner_type = _owner(item)
    return {
        "id": item["id"],
        "workspace_id": item.get("workspace_id") or DEFAULT_WORKSPACE,
        "name": item.get("name"),
        "partial_key_hint": item.get("partial_key_hint"),
        "status": item.get("status"),
        "created_at": _moment(item.get("created_at")),
        "expires_at": _moment(item.get("expires_at")),
        "owner_id": owner_id,
        "owner_type": owner_type,
    }


def _owner(item: Row) -> tuple[str | None, str | None]:
    """Whom the key acts for, where that is told, else who made it."""
    principal, maker = item.get("principal") or {}, item.get("created_by") or {}
    if principal.get("user_id"):
        return principal["user_id"], principal.get("type") or "user"
    return maker.get("id"), maker.get("type")


def _user(item: Row) -> Row:
    return {
        "id": item["id"],
        "name": item.get("name"),
        "email": item.get("email"),
        "role": item.get("role"),
        "added_at": _moment(item.get("added_at")),
    }


async def _read_emails(context: StepContext) -> dict[str, str]:
    """Addresses by user, those of people who have left included: their keys are still theirs."""
    sql = "SELECT id, email FROM anthropic_users WHERE email IS NOT NULL"
    rows = (await context.warehouse.query(Statement(sql, context.tenant.dataset))).to_pylist()
    return {row["id"]: row["email"] for row in rows}


def _account(user: Row) -> Row:
    return {"user_id": user["id"], "person": name_person(user["email"]), "name": user["name"], "type": "user"}


def _ownership(key: Row, emails: Mapping[str, str]) -> Row:
    return {
        "api_key_id": key["id"],
        "name": key["name"],
        "project_id": key["workspace_id"],
        "owner_id": key["owner_id"],
        "owner_type": key["owner_type"],
        "person": name_person(emails.get(key["owner_id"] or "")),
        "masked_key": key["partial_key_hint"],
    }


def _moment(text: Any) -> datetime | None:
    """A time as the provider writes it; what is none is left out: it only describes."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC)
