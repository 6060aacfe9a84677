"""Seat and tier plans of an organization at a provider."""

from __future__ import annotations

from datetime import date
from typing import Any

from fastapi import APIRouter
from pydantic import StrictInt

from convergence.api.deps import OrgOf, PlatformOf
from convergence.api.fields import Amount, Answer, Body, Day, Page, RequestText
from convergence.api.gate import GatedRoute, org_key
from convergence.costs import subscriptions
from convergence.costs.changes import change_alone
from convergence.integrations.models import find_provider

router = APIRouter(
    prefix="/api/v1/integrations/{org}/{provider}/subscriptions", tags=["subscriptions"], route_class=GatedRoute
)
_READ = [org_key("integrations:read")]
_WRITE = [org_key("integrations:write")]


class PlanChange(Body):
    """`unit_price` is of one seat and `billing_period`, as a string; `valid_to` is the first day without the plan."""

    seats: StrictInt | None = None
    unit_price: RequestText | None = None
    currency: RequestText | None = None
    billing_period: RequestText | None = None
    valid_from: Day | None = None
    valid_to: Day | None = None


class NewPlan(PlanChange):
    plan_name: RequestText


class PlanAnswer(Answer):
    plan_name: str
    seats: int
    unit_price: Amount
    currency: str
    billing_period: str
    valid_from: date | None
    valid_to: date | None


class DeletedAnswer(Answer):
    plan_name: str
    deleted: int


@router.get("", dependencies=_READ)
async def list_subscriptions(provider: str, org: OrgOf, platform: PlatformOf) -> Page[PlanAnswer]:
    """All plans, by name and date."""
    found = await subscriptions.list_plans(platform.warehouse, platform.catalog, org, find_provider(provider).folder)
    return Page(items=[PlanAnswer.model_validate(plan) for plan in found])


@router.post("", status_code=201, dependencies=_WRITE)
async def create_subscription(provider: str, body: NewPlan, org: OrgOf, platform: PlatformOf) -> PlanAnswer:
    """Add a plan. 409 where it overlaps another one of the same name."""
    place = (platform.warehouse, platform.catalog, org, find_provider(provider).folder)
    async with change_alone(platform.state, platform.clock, org, find_provider(provider).folder):
        return PlanAnswer.model_validate(await subscriptions.create_plan(*place, _values(body)))


@router.put("/{plan_name:path}", dependencies=_WRITE)
async def update_subscription(
    provider: str, plan_name: str, body: PlanChange, org: OrgOf, platform: PlatformOf
) -> PlanAnswer:
    """Change a plan; what is left out stays. `valid_from` chooses among several of the same name."""
    place = (platform.warehouse, platform.catalog, org, find_provider(provider).folder)
    async with change_alone(platform.state, platform.clock, org, find_provider(provider).folder):
        return PlanAnswer.model_validate(await subscriptions.update_plan(*place, plan_name, values=_values(body)))


@router.delete("/{plan_name:path}", dependencies=_WRITE)
async def delete_subscription(provider: str, plan_name: str, org: OrgOf, platform: PlatformOf) -> DeletedAnswer:
    """Delete all plans of a name."""
    place = (platform.warehouse, platform.catalog, org, find_provider(provider).folder)
    async with change_alone(platform.state, platform.clock, org, find_provider(provider).folder):
        return DeletedAnswer(plan_name=plan_name, deleted=await subscriptions.delete_plan(*place, plan_name))


@router.post("/reset", dependencies=_WRITE)
async def reset_subscriptions(provider: str, org: OrgOf, platform: PlatformOf) -> Page[PlanAnswer]:
    """Put the shipped plans, which have no seats, in place of all others."""
    async with change_alone(platform.state, platform.clock, org, find_provider(provider).folder):
        found = await subscriptions.reset_plans(
            platform.warehouse, platform.catalog, org, find_provider(provider).folder
        )
    return Page(items=[PlanAnswer.model_validate(plan) for plan in found])


def _values(body: PlanChange) -> dict[str, Any]:
    """What was sent, days as text again: the plans read and judge every value themselves."""
    return body.model_dump(mode="json", exclude_unset=True)
