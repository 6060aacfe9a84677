"""The price book of an organization at a provider."""

from __future__ import annotations

from datetime import date
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from convergence.api.deps import OrgOf, PlatformOf
from convergence.api.fields import Amount, Answer, Body, Day, Page, RequestText
from convergence.api.gate import GatedRoute, org_key
from convergence.bootstrap import Platform
from convergence.costs.changes import change_alone
from convergence.costs.prices import service as prices
from convergence.costs.prices.book import Price
from convergence.costs.prices.proposals import Proposal
from convergence.errors import InvalidRequest
from convergence.integrations.models import find_provider
from convergence.kit.clock import today
from convergence.security.redaction import redact

router = APIRouter(prefix="/api/v1/integrations/{org}/{provider}/pricing", tags=["pricing"], route_class=GatedRoute)
_READ = [org_key("integrations:read")]
_WRITE = [org_key("integrations:write")]


class PriceChange(BaseModel):
    """Rates as strings in USD per million units: `"input_per_million": "2.50"`. Unknown names are refused.

    `service_tier`, `condition` and `valid_from` choose among several prices of a model. `valid_to` is the first day on
    which it no longer holds.
    """

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)
    __pydantic_extra__: dict[str, RequestText | None] = Field(init=False)

    service_tier: RequestText | None = None
    condition: RequestText | None = None
    valid_from: Day | None = None
    valid_to: Day | None = None
    currency: RequestText | None = None
    source: RequestText | None = None


class NewPrice(PriceChange):
    model_id: RequestText


class PriceAnswer(Answer):
    """One row of the price book, its rates beside the other fields; `price_version` changes with any figure."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Amount] = Field(init=False)

    model_id: str
    service_tier: str
    condition: str | None
    valid_from: date | None
    valid_to: date | None
    currency: str
    source: str | None
    price_version: str


class SyncBody(Body):
    apply: bool = False


class ProposalAnswer(Answer):
    """`replaces` is the price that ends where the new one begins; null where a price is added."""

    kind: str
    price: PriceAnswer
    replaces: PriceAnswer | None


class KeptAnswer(Answer):
    """A price of the organization's own, and what is published in its place."""

    price: PriceAnswer
    published: dict[str, Amount]


class SyncAnswer(Answer):
    """`left_out` names models, or all of them, that the list is known to be wrong about, with the reason."""

    provider: str
    published_by: str
    applied: bool
    proposals: list[ProposalAnswer]
    kept: list[KeptAnswer]
    left_out: dict[str, str]


class DeletedAnswer(Answer):
    model_id: str
    deleted: int


@router.get("", dependencies=_READ)
async def list_prices(provider: str, org: OrgOf, platform: PlatformOf) -> Page[PriceAnswer]:
    """All prices, by model, tier and date."""
    found = await prices.list_prices(platform.warehouse, platform.catalog, org, find_provider(provider).folder)
    return Page(items=[_answer(price) for price in found])


@router.post("", status_code=201, dependencies=_WRITE)
async def create_price(provider: str, body: NewPrice, org: OrgOf, platform: PlatformOf) -> PriceAnswer:
    """Add a price. 409 where it overlaps another one of the same model, tier and condition."""
    place = (platform.warehouse, platform.catalog, org, find_provider(provider).folder)
    async with change_alone(platform.state, platform.clock, org, find_provider(provider).folder):
        return _answer(await prices.create_price(*place, _values(body, platform, provider)))


@router.put("/{model_id:path}", dependencies=_WRITE)
async def update_price(
    provider: str, model_id: str, body: PriceChange, org: OrgOf, platform: PlatformOf
) -> PriceAnswer:
    """Change figures, end or source of a price; what is left out stays."""
    place = (platform.warehouse, platform.catalog, org, find_provider(provider).folder)
    async with change_alone(platform.state, platform.clock, org, find_provider(provider).folder):
        return _answer(await prices.update_price(*place, model_id, values=_values(body, platform, provider)))


@router.delete("/{model_id:path}", dependencies=_WRITE)
async def delete_price(
    provider: str,
    model_id: str,
    org: OrgOf,
    platform: PlatformOf,
    service_tier: str | None = None,
    valid_from: Day | None = None,
) -> DeletedAnswer:
    """Delete a model's prices, all or those of a tier or first day."""
    place = (platform.warehouse, platform.catalog, org, find_provider(provider).folder)
    async with change_alone(platform.state, platform.clock, org, find_provider(provider).folder):
        gone = await prices.delete_price(*place, model_id, service_tier=service_tier, valid_from=valid_from)
    return DeletedAnswer(model_id=model_id, deleted=gone)


@router.post("/reset", dependencies=_WRITE)
async def reset_prices(provider: str, org: OrgOf, platform: PlatformOf) -> Page[PriceAnswer]:
    """Put the shipped prices in place of all others."""
    async with change_alone(platform.state, platform.clock, org, find_provider(provider).folder):
        found = await prices.reset_prices(platform.warehouse, platform.catalog, org, find_provider(provider).folder)
    return Page(items=[_answer(price) for price in found])


@router.post("/sync", dependencies=_WRITE)
async def sync_prices(provider: str, body: SyncBody, org: OrgOf, platform: PlatformOf) -> SyncAnswer:
    """What the published price list of the genai-prices package would change; `apply` changes it.

    Prices that the organization wrote stay, and are listed in `kept`. 501 where the package is not installed.
    """
    folder = find_provider(provider).folder
    place = (platform.warehouse, platform.catalog, org, folder)
    async with change_alone(platform.state, platform.clock, org, folder):
        found = await prices.sync_prices(*place, today(platform.clock), apply=body.apply)
    return SyncAnswer(
        provider=folder,
        published_by=found.source,
        applied=body.apply,
        proposals=[_proposal(proposal) for proposal in found.proposals],
        kept=[KeptAnswer(price=_answer(kept.price), published=dict(kept.published)) for kept in found.kept],
        left_out=dict(found.left_out),
    )


def _proposal(proposal: Proposal) -> ProposalAnswer:
    old = proposal.replaced
    return ProposalAnswer(
        kind=proposal.kind, price=_answer(proposal.price), replaces=None if old is None else _answer(old)
    )


def _values(body: PriceChange, platform: Platform, provider: str) -> dict[str, Any]:
    """What was sent, days as text again: the price book reads and judges every value itself.

    Raises:
        InvalidRequest: names that are no columns of the price book, whether the price is there or not.
    """
    table = f"{find_provider(provider).folder}_pricing"
    extra = body.model_extra or {}
    if table in platform.catalog.schema_names():
        known = {column.name for column in platform.catalog.schema(table).columns}
        unknown = [name for name in extra if name not in known]
        if unknown:
            faults = [f"{redact(name)[:80]} is unknown" for name in unknown]
            raise InvalidRequest("; ".join(faults), hint=f"Fields are {', '.join(known)}.", fields={"faults": faults})
    return body.model_dump(mode="json", exclude_unset=True)


def _answer(price: Price) -> PriceAnswer:
    return PriceAnswer(
        model_id=price.model_id,
        service_tier=price.service_tier,
        condition=price.condition,
        valid_from=price.valid_from,
        valid_to=price.valid_to,
        currency=price.currency,
        source=price.source,
        price_version=price.version,
        **price.rates,
    )
