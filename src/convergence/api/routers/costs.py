"""What an organization spent."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import Response

from convergence.api.deps import OrgOf, PlatformOf
from convergence.api.fields import Amount, Answer, Body, Day, RequestText
from convergence.api.gate import GatedRoute, org_key
from convergence.costs.report import GROUPINGS, CostReport, read_costs
from convergence.errors import InvalidRequest
from convergence.kit.clock import Clock, today
from convergence.kit.jsontext import plain
from convergence.kit.window import DAY, Window
from convergence.pipelines.service import parse_window

router = APIRouter(prefix="/api/v1/costs", tags=["costs"], route_class=GatedRoute)
_DEFAULT_DAYS: Final = 30
_MAX_DAYS: Final = 1100


class CostQuery(Body):
    """Both days are included; without them it is the last 30, today among them."""

    start_date: Day | None = None
    end_date: Day | None = None
    granularity: Literal["day", "month", "total"] = "day"
    group_by: RequestText = ""
    providers: RequestText | None = None


class Total(Answer):
    billed_cost: Amount
    list_cost: Amount | None
    currency: str


class Unpriced(Answer):
    provider: str
    model: str | None
    token_class: str | None
    unit: str
    quantity: Amount
    billed_cost: Amount
    currency: str


class CostAnswer(Answer):
    """One row a period and group; a null key is what cannot be told, and is always there.

    `totals` has one entry a currency; `total` is the largest of them. `unpriced` is usage without a list price: its
    list cost is null, not 0, and is missing from every sum of list cost.
    """

    org_slug: str
    start_date: date
    end_date: date
    granularity: str
    group_by: list[str]
    rows: list[dict[str, Any]]
    total: Total
    totals: list[Total]
    unpriced: list[Unpriced]


@router.get("/{org}", dependencies=[org_key("costs:read")], response_model=CostAnswer)
async def show_costs(org: OrgOf, platform: PlatformOf, asked: Annotated[CostQuery, Query()]) -> Response:
    """Billed and list cost. `group_by` takes several of provider, service, model, project, api_key, user, person, team,
    cost_center, token_class, line_item, day and month, separated by commas.

    Billed cost is what the provider reports, to the last decimal; list cost is usage times the price book.
    """
    window = choose_window(asked.start_date, asked.end_date, platform.clock)
    keys = _names(asked.group_by)
    report = await read_costs(
        platform.warehouse,
        org,
        window,
        granularity=asked.granularity,
        group_by=keys,
        providers=None if asked.providers is None else _names(asked.providers),
    )
    head = {"org_slug": org.org_slug, "start_date": window.start, "end_date": window.last}
    content = {**head, "granularity": asked.granularity, "group_by": keys, **_figures(report)}
    return Response(msgspec.json.encode(content), media_type="application/json")


def _figures(report: CostReport) -> dict[str, Any]:
    figures = {"rows": report.rows, "total": report.total, "totals": report.totals, "unpriced": report.unpriced}
    return {name: plain(value) for name, value in figures.items()}


def _names(text: str) -> list[str]:
    """Names in their order, each once.

    Raises:
        InvalidRequest: one is empty.
    """
    names = [name.strip() for name in text.split(",")] if text.strip() else []
    if "" in names:
        raise InvalidRequest("a name between two commas is missing", hint=f"Names are {', '.join(GROUPINGS)}.")
    return list(dict.fromkeys(names))


def choose_window(first: date | None, last: date | None, clock: Clock) -> Window:
    """Both days included; the last 30 where neither is given.

    Raises:
        InvalidRequest: half a range, an empty one, or too many days.
    """
    window = parse_window(None, first, last)
    if window is None:
        current = today(clock)
        return Window(current - timedelta(days=_DEFAULT_DAYS - 1), current + DAY)
    if len(window) > _MAX_DAYS:
        raise InvalidRequest(f"{len(window)} days are more than {_MAX_DAYS}", hint="Ask for fewer days at a time.")
    return window
