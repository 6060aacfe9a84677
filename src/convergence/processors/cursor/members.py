"""cursor.members: who is in the team; who was removed or has vanished keeps the row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convergence.connectors import ProviderClient
from convergence.costs.directory import Directory, Row, name_person
from convergence.errors import ProviderMisbehaved
from convergence.processors.cursor._client import PROVIDER, Paced
from convergence.steps import StepContext, StepResult

TABLE = "cursor_members_raw"
_PATH = "/teams/members"


class Config(Paced):
    """`requests_per_minute` is what Cursor allows the team."""


def get_engine() -> MembersProcessor:
    return MembersProcessor()


class MembersProcessor:
    """Cursor knows people by their e-mail addresses: usage names nothing else."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        members = await _read_members(await config.open_client(context))
        directory = Directory(context, PROVIDER)
        await directory.merge(TABLE, members)
        await directory.write_people([_account(member) for member in members if member["email"]])
        return StepResult(len(members), {"listed": {TABLE: len(members)}, "vanished": directory.vanished})


async def _read_members(client: ProviderClient) -> list[Row]:
    """A team has an owner at least, so that an answer without members says nothing about who has left.

    Raises:
        ProviderMisbehaved: no members in the answer.
    """
    listed = (await client.get(_PATH)).envelope.get("teamMembers")
    items = listed if isinstance(listed, list) else []
    members = [_member(item) for item in items if isinstance(item, dict) and item.get("id")]
    if not members or len(members) < len(items):
        raise ProviderMisbehaved(f"{_PATH} does not list members; nothing was written", code="page_without_rows")
    return members


def _member(item: Row) -> Row:
    return {
        "id": str(item["id"]),
        "name": item.get("name"),
        "email": item.get("email"),
        "role": item.get("role"),
        "is_removed": bool(item.get("isRemoved")) or item.get("role") == "removed",
    }


def _account(member: Row) -> Row:
    person = name_person(member["email"])
    return {"user_id": person, "person": person, "name": member["name"], "type": "user"}
