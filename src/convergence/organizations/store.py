"""Rows of organizations in the platform's dataset. Knows tables, decides nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from convergence.errors import Conflict
from convergence.organizations.models import (
    ORG_TABLES,
    PLATFORM_LOGS,
    PLATFORM_TABLES,
    PLATFORM_VIEWS,
    ApiKey,
    BootstrapResult,
    Plan,
    Subscription,
    SubscriptionStatus,
    Usage,
)
from convergence.sql import Parameter, Statement
from convergence.tenancy import OrgScope, PlatformScope
from convergence.warehouse import Warehouse, WriteMode

if TYPE_CHECKING:
    import pyarrow as pa

    from convergence.catalog import Catalog

Row = Mapping[str, Any]

_KEY_COLUMNS: Final = (
    "org_slug, api_key_id, name, key_digest, fingerprint, scopes, created_at, created_by, expires_at, revoked_at"
)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """An API key with the digest it is checked against."""

    org_slug: str
    digest: str
    key: ApiKey

    def is_good(self, now: datetime) -> bool:
        return self.key.revoked_at is None and (self.key.expires_at is None or now < self.key.expires_at)


class OrganizationStore:
    """Reads and writes the tables of organizations. Every write is one statement or one load."""

    def __init__(self, warehouse: Warehouse, platform: PlatformScope, catalog: Catalog) -> None:
        self._warehouse = warehouse
        self._platform = platform
        self._catalog = catalog
        self._is_bootstrapped = False

    async def bootstrap(self) -> BootstrapResult:
        """Create what is missing of the platform's dataset and widen what is there."""
        await self._warehouse.ensure_dataset(self._platform.dataset)
        made: dict[str, bool] = {}
        for table in (*PLATFORM_TABLES, *PLATFORM_LOGS):
            change = await self._warehouse.ensure(self._platform.table(table), self._catalog.schema(table))
            made[table] = change.created
        for view in PLATFORM_VIEWS:
            statement = Statement(self._view_text(f"views/{view}.sql"), self._platform.dataset)
            made[view] = await self._warehouse.ensure_view(self._platform.table(view), statement)
        documented = [name for name in made if name not in PLATFORM_LOGS]
        return BootstrapResult(
            tables_created=tuple(name for name in documented if made[name]),
            tables_existing=tuple(name for name in documented if not made[name]),
        )

    async def drop_platform(self) -> None:
        self._is_bootstrapped = False
        await self._warehouse.drop_dataset(self._platform.dataset)

    async def is_bootstrapped(self) -> bool:
        """Whether the tables are there; once they are, that is remembered."""
        if not self._is_bootstrapped:
            present = set(await self._warehouse.tables(self._platform.dataset))
            self._is_bootstrapped = present.issuperset((*PLATFORM_TABLES, *PLATFORM_LOGS, *PLATFORM_VIEWS))
        return self._is_bootstrapped

    async def require_bootstrap(self) -> None:
        """
        Raises:
            Conflict: the platform's tables are not there.
        """
        if not await self.is_bootstrapped():
            raise Conflict(
                "the platform is not set up",
                code="not_bootstrapped",
                hint="Call POST /api/v1/admin/bootstrap, or run `convergence bootstrap`.",
            )

    async def org_tables(self, org: OrgScope) -> list[str]:
        return await self._warehouse.tables(org.dataset)

    async def ensure_org_dataset(self, org: OrgScope) -> bool:
        return await self._warehouse.ensure_dataset(org.dataset)

    async def drop_org_dataset(self, org: OrgScope) -> None:
        await self._warehouse.drop_dataset(org.dataset)

    async def ensure_common_tables(self, org: OrgScope) -> None:
        """The tables that every organization has, whatever its providers."""
        for name in ORG_TABLES:
            await self._warehouse.ensure(org.table(name), self._catalog.schema(name))

    async def ensure_comprehensive_view(self, org: OrgScope) -> None:
        """One view in the organization's dataset over the platform's tables, narrowed to its own rows."""
        sources = ("org_profiles", "org_usage_quotas", "org_meta_pipeline_runs")
        # A view takes no parameters. An OrgScope holds letters, digits and underscores only: it cannot end the literal.
        text = self._view_text("org_views/org_comprehensive_view.sql").replace("@org_slug", f"'{org.org_slug}'")
        statement = Statement(text, org.dataset, tables={name: self._platform.table(name) for name in sources})
        await self._warehouse.ensure_view(org.table("org_comprehensive_view"), statement)

    async def prove_dataset(self, org: OrgScope, row: Row) -> int:
        """Write a row to the organization's dataset and read it back; how many came back."""
        name = "onboarding_validation_test"
        table, schema = org.table(name), self._catalog.schema(name)
        await self._warehouse.ensure(table, schema)
        await self._warehouse.load(table, self._batches(name, [row]), mode=WriteMode.OVERWRITE)
        statement = Statement(
            f"SELECT org_slug FROM {name} WHERE check_id = @check_id", org.dataset, {"check_id": row["check_id"]}
        )
        rows: int = (await self._warehouse.query(statement)).num_rows
        return rows

    async def find_profile(self, folded_slug: str) -> Row | None:
        """The profile of a slug without regard to case."""
        rows = await self._rows(
            "SELECT org_slug, company_name, admin_email, status, dataset_id, created_at FROM org_profiles"
            " WHERE org_slug_folded = @folded",
            folded=folded_slug,
        )
        return rows[0] if rows else None

    async def add_profile(self, row: Row) -> None:
        await self._merge("org_profiles", [row], keys=("org_slug_folded",))

    async def forget_leftovers(self, folded_slug: str) -> None:
        """Remove keys and subscriptions of a slug that has no profile: an onboarding died between them."""
        for table in ("org_api_keys", "org_subscriptions"):
            await self._execute(f"DELETE FROM {table} WHERE LOWER(org_slug) = @folded", folded=folded_slug)

    async def org_slugs(self, statuses: Sequence[SubscriptionStatus] = ()) -> list[str]:
        """Slugs of the organizations, only those with one of `statuses` where some are given."""
        rows = await self._rows(
            "SELECT profile.org_slug FROM org_profiles AS profile JOIN org_subscriptions AS subscription"
            " ON subscription.org_slug = profile.org_slug AND subscription.valid_to IS NULL"
            " WHERE subscription.status IN UNNEST(@statuses) ORDER BY profile.org_slug",
            statuses=[str(status) for status in statuses or SubscriptionStatus],
        )
        return [row["org_slug"] for row in rows]

    async def current_subscription(self, org_slug: str) -> Subscription | None:
        rows = await self._rows(
            "SELECT subscription_id, plan, status, member_limit, provider_limit, daily_run_limit, monthly_run_limit,"
            " concurrent_run_limit, price_per_month, currency, valid_from FROM org_subscriptions"
            " WHERE org_slug = @org_slug AND valid_to IS NULL ORDER BY valid_from DESC LIMIT 1",
            org_slug=org_slug,
        )
        return _subscription(rows[0]) if rows else None

    async def replace_subscription(
        self, org_slug: str, ended: Subscription | None, begun: Subscription, now: datetime
    ) -> None:
        """End one subscription and begin the next in one load."""
        rows = [_subscription_row(org_slug, begun, valid_to=None, updated_at=now)]
        if ended is not None:
            rows.append(_subscription_row(org_slug, ended, valid_to=now, updated_at=now))
        await self._merge("org_subscriptions", rows, keys=("subscription_id",))

    async def usage(self, org_slug: str) -> Usage:
        rows = await self._rows(
            "SELECT runs_today, runs_this_month, runs_running FROM org_usage_quotas WHERE org_slug = @org_slug",
            org_slug=org_slug,
        )
        return Usage(**rows[0]) if rows else Usage()

    async def add_api_key(self, stored: StoredKey) -> None:
        await self._merge("org_api_keys", [_key_row(stored)], keys=("org_slug", "api_key_id"))

    async def find_api_key(self, org_slug: str, api_key_id: str) -> StoredKey | None:
        """The key, if its organization is there: a half-finished onboarding has keys and no profile."""
        rows = await self._rows(
            f"SELECT {_KEY_COLUMNS} FROM org_api_keys WHERE org_slug = @org_slug AND api_key_id = @api_key_id"
            " AND org_slug IN (SELECT org_slug FROM org_profiles WHERE org_slug = @org_slug)",
            org_slug=org_slug,
            api_key_id=api_key_id,
        )
        return _stored_key(rows[0]) if rows else None

    async def api_keys(self, org_slug: str) -> list[ApiKey]:
        rows = await self._rows(
            f"SELECT {_KEY_COLUMNS} FROM org_api_keys WHERE org_slug = @org_slug ORDER BY created_at, api_key_id",
            org_slug=org_slug,
        )
        return [_stored_key(row).key for row in rows]

    async def revoke_api_key(self, org_slug: str, api_key_id: str, *, now: datetime, revoked_by: str) -> bool:
        """Whether there was such a key in force."""
        changed = await self._execute(
            "UPDATE org_api_keys SET revoked_at = @now, revoked_by = @revoked_by"
            " WHERE org_slug = @org_slug AND api_key_id = @api_key_id AND revoked_at IS NULL",
            org_slug=org_slug,
            api_key_id=api_key_id,
            now=now,
            revoked_by=revoked_by,
        )
        return changed > 0

    async def _rows(self, sql: str, **parameters: Parameter) -> list[dict[str, Any]]:
        table = await self._warehouse.query(Statement(sql, self._platform.dataset, parameters))
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows

    async def _execute(self, sql: str, **parameters: Parameter) -> int:
        return await self._warehouse.execute(Statement(sql, self._platform.dataset, parameters))

    async def _merge(self, table: str, rows: Sequence[Row], *, keys: Sequence[str]) -> None:
        target = self._platform.table(table)
        await self._warehouse.load(target, self._batches(table, rows), mode=WriteMode.MERGE, keys=keys)

    async def _batches(self, table: str, rows: Sequence[Row]) -> AsyncIterator[pa.RecordBatch]:
        import pyarrow as pa

        from convergence.warehouse.arrow import build_arrow_schema

        yield pa.RecordBatch.from_pylist(
            [dict(row) for row in rows], schema=build_arrow_schema(self._catalog.schema(table))
        )

    def _view_text(self, path: str) -> str:
        return self._catalog.text(self._catalog.root / "platform", path)


def _stored_key(row: Row) -> StoredKey:
    key = ApiKey(
        api_key_id=row["api_key_id"],
        name=row["name"],
        fingerprint=row["fingerprint"],
        scopes=frozenset(row["scopes"] or ()),
        created_at=row["created_at"],
        created_by=row["created_by"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )
    return StoredKey(row["org_slug"], row["key_digest"], key)


def _key_row(stored: StoredKey) -> dict[str, Any]:
    key = stored.key
    return {
        "org_slug": stored.org_slug,
        "api_key_id": key.api_key_id,
        "name": key.name,
        "key_digest": stored.digest,
        "fingerprint": key.fingerprint,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at,
        "created_by": key.created_by,
        "expires_at": key.expires_at,
    }


def _subscription(row: Row) -> Subscription:
    plan = Plan(
        name=row["plan"],
        members=row["member_limit"],
        providers=row["provider_limit"],
        pipelines_per_day=row["daily_run_limit"],
        pipelines_per_month=row["monthly_run_limit"],
        concurrent_pipelines=row["concurrent_run_limit"],
        price_per_month=row["price_per_month"],
        currency=row["currency"] or "USD",
    )
    return Subscription(row["subscription_id"], plan, SubscriptionStatus(row["status"]), row["valid_from"])


def _subscription_row(
    org_slug: str, subscription: Subscription, *, valid_to: datetime | None, updated_at: datetime
) -> dict[str, Any]:
    plan = subscription.plan
    return {
        "org_slug": org_slug,
        "subscription_id": subscription.subscription_id,
        "plan": plan.name,
        "status": str(subscription.status),
        "member_limit": plan.members,
        "provider_limit": plan.providers,
        "daily_run_limit": plan.pipelines_per_day,
        "monthly_run_limit": plan.pipelines_per_month,
        "concurrent_run_limit": plan.concurrent_pipelines,
        "price_per_month": plan.price_per_month,
        "currency": plan.currency,
        "valid_from": subscription.valid_from,
        "valid_to": valid_to,
        "updated_at": updated_at,
    }
