"""openai.directory: projects, API keys and people as they are now; what has vanished keeps its row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from convergence.connectors import AfterId, ProviderClient
from convergence.costs.records import RecordTable
from convergence.kit.clock import today
from convergence.kit.ids import new_id
from convergence.processors.openai._reading import PROVIDER, open_client
from convergence.sql import Statement
from convergence.steps import StepContext, StepResult
from convergence.steps.loading import add_lineage, stream_batches
from convergence.warehouse import Claim, WriteMode

if TYPE_CHECKING:
    from collections.abc import Iterable

Row = dict[str, Any]
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
        snapshot = _Snapshot(context)
        for table, rows in lists.items():
            await snapshot.merge(table, rows)
        await _write_people(context, lists["openai_users"])
        await _write_keys(context, lists["openai_api_keys"])
        counts = {table: len(rows) for table, rows in lists.items()}
        return StepResult(sum(counts.values()), {"listed": counts, "vanished": snapshot.vanished})


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


class _Snapshot:
    """Merges lists by id."""

    def __init__(self, context: StepContext) -> None:
        self._context = context
        self.vanished: dict[str, int] = {}

    async def merge(self, table: str, rows: Sequence[Row]) -> None:
        """Listed rows are written over what is known of them; the others are marked as deleted."""
        context = self._context
        await context.warehouse.ensure(context.tenant.table(table), context.catalog.schema(table))
        now = context.clock.now()
        seen = [{**row, "last_seen_at": now, "is_deleted": False} for row in _unique(rows, "id")]
        await _load(context, table, seen, ("id",))
        changed = await context.warehouse.execute(
            Statement(
                f"UPDATE {table} SET is_deleted = TRUE WHERE last_seen_at < @now AND NOT is_deleted",
                context.tenant.dataset,
                {"now": now},
            )
        )
        self.vanished[table] = changed


def _unique(rows: Iterable[Row], key: str) -> list[Row]:
    return list({row[key]: row for row in rows}.values())


async def _load(context: StepContext, table: str, rows: list[Row], keys: Sequence[str]) -> None:
    import pyarrow as pa

    from convergence.warehouse.arrow import build_arrow_schema

    schema = context.catalog.schema(table)
    wanted = build_arrow_schema(schema)
    names = [column.name for column in schema.measures_and_dimensions]
    built = pa.Table.from_pylist(rows, schema=pa.schema([wanted.field(name) for name in names]))
    batches = stream_batches(add_lineage(built, context))
    ref = context.tenant.table(table)
    await context.warehouse.load(ref, batches, mode=WriteMode.MERGE, keys=keys, claim=_claim(context, table))


def _claim(context: StepContext, table: str) -> Claim:
    """A worker that lost the run writes no list that is older than its successor's."""
    return Claim(f"{STREAM}.{table}", context.run.run_id, context.run.fence, new_id("load"))


async def _write_people(context: StepContext, users: Sequence[Row]) -> None:
    """Who is behind each account, from the day on which that was first so."""
    facts = [
        {
            "provider": PROVIDER,
            "user_id": user["id"],
            "person": _person(user.get("email")),
            "name": user.get("name"),
            "type": user["type"],
        }
        for user in _unique(users, "id")
    ]
    await _write_dated(context, "dim_people", "user_id", facts)


async def _write_keys(context: StepContext, keys: Sequence[Row]) -> None:
    """Who owns each key, from the day on which that was first so."""
    facts = [
        {
            "provider": PROVIDER,
            "api_key_id": key["id"],
            "name": key.get("name"),
            "project_id": key["project_id"],
            "owner_id": key.get("owner_id"),
            "owner_type": key.get("owner_type"),
            "person": _person(key.get("owner_email")),
        }
        for key in _unique(keys, "id")
    ]
    await _write_dated(context, "dim_api_keys", "api_key_id", facts)


async def _write_dated(context: StepContext, table: str, key: str, facts: Sequence[Row]) -> None:
    """A fact that changed ends today and begins anew; the first one of a key has no beginning."""
    keys = ("provider", key, "valid_from")
    records = RecordTable.of(context.warehouse, context.catalog, context.tenant, table, keys)
    await records.ensure()
    current = {row[key]: row for row in await records.rows() if row["provider"] == PROVIDER and row["valid_to"] is None}
    changes = build_changes(facts, current, key, today(context.clock))
    await records.put(changes, claim=_claim(context, table))


def build_changes(facts: Sequence[Row], current: Mapping[str, Row], key: str, day: Any) -> list[Row]:
    """Rows to write so that `facts` hold from `day` on. Twice on a day leaves one row."""
    changes: list[Row] = []
    for fact in facts:
        old = current.get(fact[key])
        if old is None:
            changes.append({**fact, "valid_from": None, "valid_to": None})
        elif any(old[name] != value for name, value in fact.items()):
            if old["valid_from"] != day:
                changes.append({**old, "valid_to": day})
            changes.append({**fact, "valid_from": day, "valid_to": None})
    return changes


def _person(email: str | None) -> str | None:
    return email.strip().lower() if email else None


def _moment(seconds: Any) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int) and not isinstance(seconds, bool) else None
