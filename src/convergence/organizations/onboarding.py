"""The making of an organization: what must hold before, and the order of the writes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import MISSING, fields
from datetime import timedelta
from typing import Any, Final

from convergence.errors import Conflict, ConvergenceError, InvalidRequest, StepFailed
from convergence.kit.clock import Clock
from convergence.kit.ids import new_id
from convergence.organizations.models import (
    PLANS,
    SCOPES,
    ApiKey,
    Check,
    Onboarded,
    OnboardingRequest,
    Subscription,
    SubscriptionStatus,
)
from convergence.organizations.store import OrganizationStore, StoredKey
from convergence.security import ApiKeys, NewKey
from convergence.state import Lease, StateStore
from convergence.steps import StepContext
from convergence.tenancy import OrgScope, PlatformScope, check_org_slug

_LEASE_TTL: Final = timedelta(minutes=5)
_EMAIL: Final = re.compile(r"[^@\s]{1,64}@[^@\s.]+(?:\.[^@\s.]+)+")
_MAX_EMAIL_LENGTH: Final = 254
_MAX_NAME_LENGTH: Final = 200


def read_request(parameters: Mapping[str, Any]) -> OnboardingRequest:
    """The request in a run's parameters.

    Raises:
        InvalidRequest: a field is missing, unknown or not text; every fault is named.
    """
    known = {field.name: field for field in fields(OnboardingRequest)}
    faults = [f"{name} is unknown" for name in parameters if name not in known]
    faults += [
        f"{name} is missing" for name, field in known.items() if name not in parameters and field.default is MISSING
    ]
    faults += [f"{name} is not text" for name in known if not isinstance(parameters.get(name, ""), str)]
    if faults:
        raise InvalidRequest("; ".join(faults), code="onboarding_invalid", fields={"faults": faults})
    return OnboardingRequest(**parameters)


def require_platform_run(context: StepContext) -> None:
    """
    Raises:
        StepFailed: the run is an organization's; only the platform's operator may do this.
    """
    if context.org is not None:
        raise StepFailed(
            f"step {context.step_id} is for the platform's operator",
            code="platform_only",
            hint="Use the admin and organizations routes with the root key, or the command line.",
        )


def request_checks(request: OnboardingRequest) -> list[Check]:
    """What the request itself must satisfy."""
    return [
        _slug_check(request.org_slug),
        _name_check(request.company_name),
        _email_check(request.admin_email),
        _plan_check(request.subscription_plan),
    ]


def require(checks: Iterable[Check]) -> None:
    """
    Raises:
        InvalidRequest: some do not hold; all of them are named.
    """
    failed = [check for check in checks if not check.passed]
    if failed:
        raise InvalidRequest(
            "; ".join(check.message for check in failed),
            code="onboarding_invalid",
            hint="Mend them all, or try POST /organizations/dryrun first.",
            fields={"faults": [{"name": check.name, "message": check.message} for check in failed]},
        )


class Onboarding:
    """Makes an organization. The profile is written last: without it nothing else counts, and a new try starts over."""

    def __init__(
        self,
        store: OrganizationStore,
        api_keys: ApiKeys,
        state: StateStore,
        platform: PlatformScope,
        clock: Clock,
    ) -> None:
        self._store = store
        self._api_keys = api_keys
        self._state = state
        self._platform = platform
        self._clock = clock

    async def onboard(self, request: OnboardingRequest) -> Onboarded:
        """
        Raises:
            InvalidRequest: the request is wrong; every fault is named.
            Conflict: the slug is taken, in any case, or is being onboarded right now; or there is no bootstrap yet.
        """
        require(request_checks(request))
        await self._store.require_bootstrap()
        org = self._platform.org(request.org_slug)
        async with self._alone(org) as lease:
            await self._require_free(org)
            return await self._create(org, request, lease)

    @asynccontextmanager
    async def _alone(self, org: OrgScope) -> AsyncIterator[Lease]:
        key = f"{org.org_slug.casefold()}/onboarding"
        lease = await self._state.acquire(key, new_id("onboarding"), _LEASE_TTL)
        if lease is None:
            raise _taken(f"{org.org_slug} is being onboarded by another request")
        try:
            yield lease
        finally:
            await self._state.release(lease)

    async def _require_free(self, org: OrgScope) -> None:
        taken = await self._store.find_profile(org.org_slug.casefold())
        if taken is not None:
            raise _taken(f"organization {taken['org_slug']} exists already")

    async def _create(self, org: OrgScope, request: OnboardingRequest, lease: Lease) -> Onboarded:
        await self._store.forget_leftovers(org.org_slug.casefold())
        dataset_created = await self._store.ensure_org_dataset(org)
        try:
            await self._prepare_dataset(org)
            key = await self._fill(org, request)
            await self._finish(org, request, lease)
        except BaseException:
            await self._clean_up(org, dataset_created=dataset_created)
            raise
        return Onboarded(
            org_slug=org.org_slug,
            api_key=key.api_key,
            api_key_id=key.key_id,
            api_key_fingerprint=key.fingerprint,
            dataset_id=org.dataset.name,
            dataset_created=dataset_created,
            subscription_plan=request.subscription_plan,
        )

    async def _prepare_dataset(self, org: OrgScope) -> None:
        row = {
            "org_slug": org.org_slug,
            "check_id": new_id("check"),
            "status": "PASS",
            "message": "a row was written to the organization's dataset and read back",
            "created_at": self._clock.now(),
        }
        if await self._store.prove_dataset(org, row) != 1:
            raise StepFailed(
                f"dataset {org.dataset} does not give back what is written to it",
                code="dataset_unusable",
                hint="Check the warehouse with `convergence doctor`.",
            )
        await self._store.ensure_common_tables(org)
        await self._store.ensure_comprehensive_view(org)

    async def _fill(self, org: OrgScope, request: OnboardingRequest) -> NewKey:
        now = self._clock.now()
        plan = PLANS[request.subscription_plan]
        subscription = Subscription(new_id("subscription"), plan, SubscriptionStatus.ACTIVE, now)
        await self._store.replace_subscription(org.org_slug, None, subscription, now)
        key = self._api_keys.mint(org.org_slug)
        listed = ApiKey(key.key_id, "onboarding", key.fingerprint, SCOPES, now, "onboarding", None, None)
        await self._store.add_api_key(StoredKey(org.org_slug, key.digest, listed))
        return key

    async def _finish(self, org: OrgScope, request: OnboardingRequest, lease: Lease) -> None:
        if not await self._state.renew(lease, _LEASE_TTL):
            raise _taken(f"onboarding {org.org_slug} took too long and another request took over")
        now = self._clock.now()
        await self._store.add_profile(
            {
                "org_slug": org.org_slug,
                "org_slug_folded": org.org_slug.casefold(),
                "company_name": request.company_name.strip(),
                "admin_email": request.admin_email.strip(),
                "status": "ACTIVE",
                "dataset_id": org.dataset.name,
                "environment": self._platform.environment,
                "created_at": now,
                "updated_at": now,
            }
        )

    async def _clean_up(self, org: OrgScope, *, dataset_created: bool) -> None:
        """Leave nothing of a failed try. A profile that was written after all makes it a good one: then hands off.

        What cannot be removed now harms nobody and is removed by the next try.
        """
        with suppress(ConvergenceError):
            if await self._store.find_profile(org.org_slug.casefold()) is None:
                await self._store.forget_leftovers(org.org_slug.casefold())
                if dataset_created:
                    await self._store.drop_org_dataset(org)


def _taken(message: str) -> Conflict:
    return Conflict(message, code="organization_exists", hint="Slugs are unique without regard to case.")


def _slug_check(org_slug: str) -> Check:
    try:
        check_org_slug(org_slug)
    except InvalidRequest as error:
        return Check("org_slug", passed=False, message=f"{error.message}. {error.hint}")
    return Check("org_slug", passed=True, message=f"{org_slug} can name a dataset")


def _name_check(company_name: str) -> Check:
    name = company_name.strip()
    passed = 0 < len(name) <= _MAX_NAME_LENGTH and name.isprintable()
    message = "company_name is given" if passed else f"company_name is not 1 to {_MAX_NAME_LENGTH} printable characters"
    return Check("company_name", passed, message)


def _email_check(admin_email: str) -> Check:
    email = admin_email.strip()
    passed = len(email) <= _MAX_EMAIL_LENGTH and email.isprintable() and _EMAIL.fullmatch(email) is not None
    message = "admin_email looks like an address" if passed else "admin_email is not an address such as ann@example.com"
    return Check("admin_email", passed, message)


def _plan_check(plan: str) -> Check:
    passed = plan in PLANS
    message = f"plan {plan} is known" if passed else f"subscription_plan {plan!r} is none of {', '.join(PLANS)}"
    return Check("subscription_plan", passed, message)
