"""Whether usage, reports and invoices agree."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from convergence.api.deps import OrgOf, PlatformOf
from convergence.api.fields import Amount, Answer, Body, Day, RequestText
from convergence.api.gate import GatedRoute, org_key
from convergence.costs.reconciliation.figures import Ledger, reconcile
from convergence.costs.reconciliation.judgement import DEFAULT_TOLERANCE, STATUSES, Leg, Reconciliation
from convergence.errors import InvalidRequest
from convergence.kit.clock import Clock, today
from convergence.kit.window import DAY, Window
from convergence.pipelines.service import parse_window

router = APIRouter(prefix="/api/v1/reconciliation", tags=["costs"], route_class=GatedRoute)
_DEFAULT_DAYS: Final = 30
_MAX_DAYS: Final = 1100


class ReconciliationQuery(Body):
    """Both days are included; by month it is every month that they touch. Without days it is the last 30."""

    start_date: Day | None = None
    end_date: Day | None = None
    granularity: Literal["day", "month"] = "day"
    provider: RequestText | None = None
    tolerance: Annotated[Decimal, Field(ge=0, le=1)] = DEFAULT_TOLERANCE


class Side(Answer):
    """From one figure to the next: what is left, and why. The reasons sum to the residual."""

    residual: Amount
    explained_by: dict[str, Amount]


class ReconciliationRow(Answer):
    """`usage` leads from usage_x_price to provider_reported, `invoice` from there to invoiced; both days are included.

    `residual` is the sum of explained_by, exactly; `unknown` in it is what nothing explains.
    """

    provider: str
    period: date
    currency: str
    start_date: date
    end_date: date
    usage_x_price: Amount | None
    provider_reported: Amount | None
    invoiced: Amount | None
    residual: Amount | None
    explained_by: dict[str, Amount]
    usage: Side | None
    invoice: Side | None
    missing: list[str]
    status: str


class ReconciliationAnswer(Answer):
    org_slug: str
    start_date: date
    end_date: date
    granularity: str
    tolerance: Amount
    rows: list[ReconciliationRow]
    statuses: dict[str, int]


@router.get("/{org}", dependencies=[org_key("costs:read")])
async def show_reconciliation(
    org: OrgOf, platform: PlatformOf, asked: Annotated[ReconciliationQuery, Query()]
) -> ReconciliationAnswer:
    """Usage times price, what each provider reports and what it invoiced, compared as of now.

    `provider` takes several, separated by commas. `tolerance` is the share of the larger figure that may stay
    unexplained.
    """
    window = _window(asked, platform.clock)
    found = await reconcile(
        Ledger(platform.warehouse, platform.catalog, org),
        window,
        asked.granularity,
        today=today(platform.clock),
        tolerance=asked.tolerance,
        providers=_names(asked.provider),
    )
    counts = Counter(one.status for one in found)
    return ReconciliationAnswer(
        org_slug=org.org_slug,
        start_date=window.start,
        end_date=window.last,
        granularity=asked.granularity,
        tolerance=asked.tolerance,
        rows=[_row(one) for one in found],
        statuses={status: counts[status] for status in STATUSES},
    )


def _row(one: Reconciliation) -> ReconciliationRow:
    return ReconciliationRow(
        provider=one.provider,
        period=one.period,
        currency=one.currency,
        start_date=one.compared.start,
        end_date=one.compared.last,
        usage_x_price=one.usage_x_price,
        provider_reported=one.provider_reported,
        invoiced=one.invoiced,
        residual=one.residual,
        explained_by=one.explained_by,
        usage=_side(one.usage),
        invoice=_side(one.invoice),
        missing=list(one.missing),
        status=one.status,
    )


def _side(leg: Leg | None) -> Side | None:
    return None if leg is None else Side(residual=leg.residual, explained_by=dict(leg.explained))


def _names(text: str | None) -> list[str] | None:
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if "" in names:
        raise InvalidRequest("a provider between two commas is missing", hint="provider=openai,anthropic")
    return names


def _window(asked: ReconciliationQuery, clock: Clock) -> Window:
    window = parse_window(None, asked.start_date, asked.end_date)
    if window is None:
        current = today(clock)
        return Window(current - timedelta(days=_DEFAULT_DAYS - 1), current + DAY)
    if len(window) > _MAX_DAYS:
        raise InvalidRequest(f"{len(window)} days are more than {_MAX_DAYS}", hint="Ask for fewer days at a time.")
    return window
