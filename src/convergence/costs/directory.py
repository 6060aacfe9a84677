"""Lists of a provider's keys and people as they are now; what has vanished keeps its row, what changed is dated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from convergence.costs.records import RecordTable
from convergence.kit.clock import today
from convergence.kit.ids import new_id
from convergence.sql import Statement
from convergence.steps import StepContext
from convergence.steps.loading import add_lineage, stream_batches
from convergence.warehouse import Claim, WriteMode

Row = dict[str, Any]


class Directory:
    """The lists of one provider, merged by id."""

    def __init__(self, context: StepContext, provider: str) -> None:
        self._context = context
        self._provider = provider
        self.vanished: dict[str, int] = {}

    async def merge(self, table: str, rows: Sequence[Row]) -> None:
        """Listed rows are written over what is known of them; the others are marked as deleted."""
        context = self._context
        await context.warehouse.ensure(context.tenant.table(table), context.catalog.schema(table))
        now = context.clock.now()
        await self._load(table, [{**row, "last_seen_at": now, "is_deleted": False} for row in unique(rows)])
        changed = await context.warehouse.execute(
            Statement(
                f"UPDATE {table} SET is_deleted = TRUE WHERE last_seen_at < @now AND NOT is_deleted",
                context.tenant.dataset,
                {"now": now},
            )
        )
        self.vanished[table] = changed

    async def write_people(self, facts: Sequence[Row]) -> None:
        """Who is behind each account (user_id, person, name, type), from the day on which that was first so."""
        await self._write_dated("dim_people", "user_id", facts)

    async def write_keys(self, facts: Sequence[Row]) -> None:
        """Who owns each key (api_key_id, name, project_id, owner_id, owner_type, person), from the day of that."""
        await self._write_dated("dim_api_keys", "api_key_id", facts)

    async def _load(self, table: str, rows: list[Row]) -> None:
        import pyarrow as pa

        from convergence.warehouse.arrow import build_arrow_schema

        context, schema = self._context, self._context.catalog.schema(table)
        wanted = build_arrow_schema(schema)
        names = [column.name for column in schema.measures_and_dimensions]
        built = pa.Table.from_pylist(rows, schema=pa.schema([wanted.field(name) for name in names]))
        batches = stream_batches(add_lineage(built, context))
        ref = context.tenant.table(table)
        await context.warehouse.load(ref, batches, mode=WriteMode.MERGE, keys=("id",), claim=self._claim(table))

    def _claim(self, table: str) -> Claim:
        """A worker that lost the run writes no list that is older than its successor's."""
        run = self._context.run
        return Claim(f"{self._provider}.directory.{table}", run.run_id, run.fence, new_id("load"))

    async def _write_dated(self, table: str, key: str, facts: Sequence[Row]) -> None:
        """A fact that changed ends today and begins anew; the first one of a key has no beginning."""
        context = self._context
        keys = ("provider", key, "valid_from")
        records = RecordTable.of(context.warehouse, context.catalog, context.tenant, table, keys)
        await records.ensure()
        current = {
            row[key]: row
            for row in await records.rows()
            if row["provider"] == self._provider and row["valid_to"] is None
        }
        ours = [{"provider": self._provider, **fact} for fact in unique(facts, key)]
        await records.put(build_changes(ours, current, key, today(context.clock)), claim=self._claim(table))


def unique(rows: Iterable[Row], key: str = "id") -> list[Row]:
    """The last row of each key."""
    return list({row[key]: row for row in rows}.values())


def build_changes(facts: Sequence[Row], current: Mapping[str, Row], key: str, day: date) -> list[Row]:
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


def name_person(email: str | None) -> str | None:
    """A person is an e-mail address in small letters."""
    return email.strip().lower() if email else None
