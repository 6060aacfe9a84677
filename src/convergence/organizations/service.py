"""What the product does with organizations, their plans and their keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from convergence.errors import Conflict, Denied, InvalidRequest, NotFound
from convergence.kit.clock import Clock
from convergence.kit.ids import new_id
from convergence.organizations.authentication import Authenticator
from convergence.organizations.cache import Recent
from convergence.organizations.epochs import Epochs
from convergence.organizations.models import (
    PLANS,
    SCOPES,
    ApiKey,
    BootstrapResult,
    Check,
    DryrunResult,
    NewApiKey,
    Onboarded,
    OnboardingRequest,
    Plan,
    Principal,
    Profile,
    Subscription,
    SubscriptionStatus,
)
from convergence.organizations.onboarding import Onboarding, request_checks
from convergence.organizations.store import OrganizationStore, StoredKey
from convergence.security import Security
from convergence.state import StateStore
from convergence.steps import StepContext
from convergence.tenancy import OrgScope, PlatformScope
from convergence.warehouse import Warehouse

if TYPE_CHECKING:
    from convergence.catalog import Catalog

_SUBSCRIPTION_TTL: Final = timedelta(seconds=30)
_CHANGE_TTL: Final = timedelta(minutes=1)
_MAX_KEY_NAME_LENGTH: Final = 100


class Organizations:
    """Organizations, as the API, the command line and the processors see them."""

    def __init__(
        self,
        warehouse: Warehouse,
        platform: PlatformScope,
        security: Security,
        state: StateStore,
        catalog: Catalog,
        clock: Clock,
    ) -> None:
        self._store = OrganizationStore(warehouse, platform, catalog)
        self._platform = platform
        self._api_keys = security.api_keys
        self._state = state
        self._clock = clock
        self._epochs = Epochs(state)
        self._authenticator = Authenticator(self._store, security.api_keys, self._epochs, platform, clock)
        self._onboarding = Onboarding(self._store, security.api_keys, state, platform, clock)
        self._subscriptions: Recent[Subscription] = Recent(clock)

    @classmethod
    def of(cls, context: StepContext) -> Organizations:
        """With what a step is given."""
        return cls(context.warehouse, context.platform, context.security, context.state, context.catalog, context.clock)

    async def bootstrap(self, *, force_recreate_dataset: bool = False) -> BootstrapResult:
        """Create or widen the platform's dataset; idempotent.

        Forced, it is dropped first, with every profile, key and credential. The organizations' own datasets stay.
        """
        if force_recreate_dataset:
            forgotten = await self._store.org_slugs() if await self._store.is_bootstrapped() else []
            await self._store.drop_platform()
            for org_slug in forgotten:
                await self._epochs.advance(org_slug)
        return await self._store.bootstrap()

    async def dryrun(self, request: OnboardingRequest) -> DryrunResult:
        """Every condition of onboarding. Creates nothing."""
        checks = request_checks(request)
        is_bootstrapped = await self._store.is_bootstrapped()
        message = "the platform is set up" if is_bootstrapped else "the platform is not set up: bootstrap it first"
        checks.insert(0, Check("bootstrap", is_bootstrapped, message))
        if is_bootstrapped and checks[1].passed:
            checks += await self._availability_checks(self._platform.org(request.org_slug))
        return DryrunResult(tuple(checks))

    async def onboard(self, request: OnboardingRequest) -> Onboarded:
        """Make an organization; all of it or nothing.

        Raises:
            InvalidRequest: the request is wrong; every fault is named.
            Conflict: the slug is taken, in any case, or is being onboarded right now; or there is no bootstrap yet.
        """
        onboarded = await self._onboarding.onboard(request)
        await self._epochs.advance(onboarded.org_slug)
        return onboarded

    async def authenticate(self, api_key: str) -> Principal:
        """Whom the key speaks for.

        Raises:
            Unauthenticated: malformed, unknown, expired or revoked; one text for every cause.
        """
        return await self._authenticator.authenticate(api_key)

    def scope(self, org_slug: str) -> OrgScope:
        """The scope of a slug that is known to be an organization's."""
        return self._platform.org(org_slug)

    async def organization(self, org_slug: str) -> OrgScope:
        """The scope of an organization that exists: for callers who hold the root key.

        Raises:
            NotFound: none has exactly this slug.
        """
        await self._store.require_bootstrap()
        row = await self._store.find_profile(org_slug.casefold())
        if row is None or row["org_slug"] != org_slug:
            raise _no_organization(org_slug)
        return self._platform.org(org_slug)

    async def profile(self, org: OrgScope) -> Profile:
        """
        Raises:
            NotFound: there is no such organization.
        """
        row = await self._store.find_profile(org.org_slug.casefold())
        if row is None or row["org_slug"] != org.org_slug:
            raise _no_organization(org.org_slug)
        subscription = await self.subscription(org)
        return Profile(
            org_slug=row["org_slug"],
            company_name=row["company_name"],
            admin_email=row["admin_email"],
            status=row["status"],
            dataset_id=row["dataset_id"],
            created_at=row["created_at"],
            plan=subscription.plan,
            subscription_status=subscription.status,
            usage=await self._store.usage(org.org_slug),
        )

    async def active_organizations(self) -> list[OrgScope]:
        """Organizations that may run pipelines, by slug; none before bootstrap."""
        if not await self._store.is_bootstrapped():
            return []
        slugs = await self._store.org_slugs([status for status in SubscriptionStatus if status.may_run])
        return [self._platform.org(slug) for slug in slugs]

    async def subscription(self, org: OrgScope) -> Subscription:
        """The subscription in force, at most 30 seconds old, and at once after a change.

        Raises:
            NotFound: there is no such organization.
        """
        mark = await self._epochs.current(org.org_slug)
        held = self._subscriptions.get(org.org_slug, mark)
        if held is None:
            held = await self._store.current_subscription(org.org_slug)
            if held is None:
                raise _no_organization(org.org_slug)
            self._subscriptions.put(org.org_slug, held, _SUBSCRIPTION_TTL, mark)
        return held

    async def plan(self, org: OrgScope) -> Plan:
        return (await self.subscription(org)).plan

    async def check_may_run(self, org: OrgScope) -> Plan:
        """The plan under which it may run.

        Raises:
            Denied: its subscription is expired, suspended or cancelled.
        """
        subscription = await self.subscription(org)
        if not subscription.status.may_run:
            raise Denied(
                f"the subscription of {org.org_slug} is {subscription.status}: it may read but not run",
                code="subscription_inactive",
                hint="Ask the platform's operator to activate the subscription.",
            )
        return subscription.plan

    async def set_subscription(
        self, org: OrgScope, *, plan: str | None = None, status: SubscriptionStatus | None = None
    ) -> Subscription:
        """Change plan, status or both from now on; the earlier subscription stays on record.

        Raises:
            InvalidRequest: there is no such plan.
            Conflict: another change is under way.
        """
        if plan is not None and plan not in PLANS:
            raise InvalidRequest(f"plan {plan!r} is none of {', '.join(PLANS)}", code="plan_unknown")
        async with self._changing(org):
            current = await self._store.current_subscription(org.org_slug)
            if current is None:
                raise _no_organization(org.org_slug)
            now = self._clock.now()
            begun = Subscription(
                subscription_id=new_id("subscription"),
                plan=current.plan if plan is None else PLANS[plan],
                status=current.status if status is None else status,
                valid_from=now,
            )
            await self._store.replace_subscription(org.org_slug, current, begun, now)
        await self._epochs.advance(org.org_slug)
        return begun

    async def api_keys(self, org: OrgScope) -> list[ApiKey]:
        """All keys of the organization, revoked ones too, oldest first."""
        return await self._store.api_keys(org.org_slug)

    async def create_api_key(
        self,
        org: OrgScope,
        name: str,
        scopes: Iterable[str] | None = None,
        expires_at: datetime | None = None,
        *,
        created_by: Principal | None = None,
    ) -> NewApiKey:
        """Make a key. Without scopes it has those of its maker; without a maker (root) it has all.

        Raises:
            InvalidRequest: a name, scope or expiry that cannot be; every fault is named.
            Denied: a scope that the maker's own key does not have.
        """
        allowed = SCOPES if created_by is None else created_by.scopes
        granted = frozenset(allowed if scopes is None else scopes)
        _check_new_key(name, granted, expires_at, self._clock.now())
        if beyond := granted - allowed:
            raise Denied(f"the key that asks does not have {', '.join(sorted(beyond))}", hint="Ask for fewer scopes.")
        minted = self._api_keys.mint(org.org_slug)
        key = ApiKey(
            api_key_id=minted.key_id,
            name=name.strip(),
            fingerprint=minted.fingerprint,
            scopes=granted,
            created_at=self._clock.now(),
            created_by=created_by.api_key_id if created_by else "root",
            expires_at=expires_at,
            revoked_at=None,
        )
        await self._store.add_api_key(StoredKey(org.org_slug, minted.digest, key))
        return NewApiKey(minted.api_key, minted.key_id, minted.fingerprint, key.name, granted, expires_at)

    async def revoke_api_key(self, org: OrgScope, api_key_id: str, *, revoked_by: str = "root") -> ApiKey:
        """Refuse the key from now on, in every process. Revoking twice changes nothing.

        Raises:
            NotFound: the organization has no such key.
        """
        now = self._clock.now()
        await self._store.revoke_api_key(org.org_slug, api_key_id, now=now, revoked_by=revoked_by)
        await self._epochs.advance(org.org_slug)
        stored = await self._store.find_api_key(org.org_slug, api_key_id)
        if stored is None:
            raise NotFound(
                f"{org.org_slug} has no API key {api_key_id}", code="api_key_not_found", hint="List the keys first."
            )
        return replace(stored.key, revoked_at=stored.key.revoked_at or now)

    async def _availability_checks(self, org: OrgScope) -> list[Check]:
        taken = await self._store.find_profile(org.org_slug.casefold())
        free = Check("slug_available", passed=True, message=f"{org.org_slug} is free")
        if taken is not None:
            message = f"organization {taken['org_slug']} exists already; slugs are unique without regard to case"
            free = Check("slug_available", passed=False, message=message)
        return [free, await self._dataset_check(org)]

    async def _dataset_check(self, org: OrgScope) -> Check:
        tables = await self._store.org_tables(org)
        message = f"dataset {org.dataset} is free"
        if tables:
            message = f"dataset {org.dataset} has {len(tables)} tables; they will be kept"
        return Check("dataset", passed=True, message=message)

    @asynccontextmanager
    async def _changing(self, org: OrgScope) -> AsyncIterator[None]:
        lease = await self._state.acquire(f"{org.org_slug}/subscription", new_id("change"), _CHANGE_TTL)
        if lease is None:
            raise Conflict(f"the subscription of {org.org_slug} is being changed", hint="Try again in a moment.")
        try:
            yield
        finally:
            await self._state.release(lease)


def _check_new_key(name: str, scopes: frozenset[str], expires_at: datetime | None, now: datetime) -> None:
    faults: list[str] = []
    if not 0 < len(name.strip()) <= _MAX_KEY_NAME_LENGTH or not name.strip().isprintable():
        faults.append(f"name is not 1 to {_MAX_KEY_NAME_LENGTH} printable characters")
    if not scopes:
        faults.append("scopes is empty: the key could do nothing")
    if unknown := scopes - SCOPES:
        faults.append(f"scopes has {', '.join(map(repr, sorted(unknown)))}, none of {', '.join(sorted(SCOPES))}")
    if expires_at is not None and expires_at.tzinfo is None:
        faults.append("expires_at has no time zone")
    elif expires_at is not None and expires_at <= now:
        faults.append("expires_at is not in the future")
    if faults:
        raise InvalidRequest("; ".join(faults), code="api_key_invalid", fields={"faults": faults})


def _no_organization(org_slug: str) -> NotFound:
    return NotFound(f"there is no organization {org_slug}", code="organization_not_found", hint="Onboard it first.")
