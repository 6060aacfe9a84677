"""Organizations: whether one could be onboarded, onboarding, and what one looks like."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from fastapi import APIRouter

from convergence.api.deps import CallerOf, OrgOf, PlatformOf
from convergence.api.fields import Amount, Answer, Body, RequestText, Time
from convergence.api.gate import GatedRoute, org_key, root_key
from convergence.api.setup import run_setup
from convergence.organizations.models import Profile
from convergence.pipelines.quotas import Reservations

router = APIRouter(prefix="/api/v1/organizations", tags=["organizations"], route_class=GatedRoute)


class OnboardingBody(Body):
    """`org_slug` is 3 to 50 letters, digits and underscores, unique without regard to case."""

    org_slug: RequestText
    company_name: RequestText
    admin_email: RequestText
    subscription_plan: RequestText = "STARTER"


class CheckAnswer(Answer):
    name: str
    passed: bool
    message: str


class DryrunAnswer(Answer):
    status: str
    ready_for_onboarding: bool
    checks: list[CheckAnswer]


class OnboardedAnswer(Answer):
    """`api_key` is shown here and never again."""

    org_slug: str
    api_key: str
    api_key_id: str
    api_key_fingerprint: str
    dataset_id: str
    dataset_created: bool
    subscription_plan: str


class Limits(Answer):
    members: int
    providers: int
    pipelines_per_day: int
    pipelines_per_month: int
    concurrent_pipelines: int


class Used(Answer):
    pipelines_today: int
    pipelines_this_month: int
    pipelines_running: int


class OrganizationAnswer(Answer):
    org_slug: str
    company_name: str
    admin_email: str
    status: str
    dataset_id: str
    created_at: Time
    subscription_plan: str
    subscription_status: str
    price_per_month: Amount | None
    currency: str
    limits: Limits
    usage: Used


@router.post("/dryrun", dependencies=[root_key()])
async def dryrun_organization(body: OnboardingBody, platform: PlatformOf, caller: CallerOf) -> DryrunAnswer:
    """Check every condition of onboarding. Creates nothing; answers 200 also where conditions do not hold."""
    done = await run_setup(platform, "organization-dryrun", caller=caller, parameters=body.model_dump())
    return DryrunAnswer.model_validate(done.outcome("validate_request"))


@router.post("/onboard", status_code=201, dependencies=[root_key()])
async def onboard_organization(body: OnboardingBody, platform: PlatformOf, caller: CallerOf) -> OnboardedAnswer:
    """Make an organization with its dataset, subscription and first API key, which is shown once.

    409 where the slug is taken; nothing half-done stays behind.
    """
    done = await run_setup(platform, "organization-onboarding", caller=caller, parameters=body.model_dump())
    return OnboardedAnswer.model_validate(done.outcome("setup_organization"))


@router.get("/{org}", dependencies=[org_key(), root_key()])
async def show_organization(org: OrgOf, platform: PlatformOf) -> OrganizationAnswer:
    """Profile, plan, limits and what is used of them today and this month (UTC)."""
    profile = await platform.organizations.profile(org)
    return _answer(profile, await platform.quotas.usage(org.org_slug))


def _answer(profile: Profile, held: Reservations) -> OrganizationAnswer:
    values: dict[str, Any] = {
        name: getattr(profile, name)
        for name in ("org_slug", "company_name", "admin_email", "status", "dataset_id", "created_at")
    }
    price: Decimal | None = profile.plan.price_per_month
    return OrganizationAnswer(
        **values,
        subscription_plan=profile.plan.name,
        subscription_status=str(profile.subscription_status),
        price_per_month=price,
        currency=profile.plan.currency,
        limits=Limits.model_validate(profile.plan),
        usage=Used(
            pipelines_today=len(held.day_runs),
            pipelines_this_month=held.month_runs,
            pipelines_running=len(held.slots),
        ),
    )
