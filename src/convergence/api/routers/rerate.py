"""Past days with today's prices."""

from __future__ import annotations

from fastapi import APIRouter

from convergence.api.deps import CallerOf, OrgOf, PlatformOf
from convergence.api.fields import Body, Day, RequestText
from convergence.api.gate import OPERATOR, GatedRoute, org_key
from convergence.api.routers.pipelines import AcceptedAnswer, IdempotencyKey
from convergence.catalog import Pipeline
from convergence.errors import InvalidRequest
from convergence.integrations import find_provider
from convergence.pipelines.models import TriggerType
from convergence.pipelines.service import RunRequest, parse_window

router = APIRouter(prefix="/api/v1/costs", tags=["costs"], route_class=GatedRoute)


class RerateBody(Body):
    """Both days are included. Without `provider`: all that have a price book."""

    start_date: Day
    end_date: Day
    provider: RequestText | None = None
    dry_run: bool = False


@router.post("/{org}/rerate", status_code=202, dependencies=[org_key("pipelines:run")])
async def rerate_costs(
    org: OrgOf, platform: PlatformOf, caller: CallerOf, body: RerateBody, idempotency_key: IdempotencyKey = None
) -> AcceptedAnswer:
    """Price past days anew from their usage with today's price books. What was billed on a day stays.

    The steps of the run say in `moved` which list costs changed, by model. A dry run writes nothing.
    """
    pipeline = platform.pipelines.find("costs-rerate-preview" if body.dry_run else "costs-rerate")
    request = RunRequest(
        pipeline,
        parse_window(None, body.start_date, body.end_date),
        {} if body.provider is None else {"provider": _choose(pipeline, body.provider)},
        trigger_type=TriggerType.CLI if caller.name == OPERATOR else TriggerType.API,
        trigger_by=caller.name,
        idempotency_key=idempotency_key,
    )
    run = await platform.pipelines.run(org, request)
    return AcceptedAnswer(
        pipeline_logging_id=run.run_id, pipeline_id=run.pipeline_id, org_slug=run.org_slug, status=run.status
    )


def _choose(pipeline: Pipeline, text: str) -> str:
    """The provider's folder.

    Raises:
        NotFound: no such provider.
        InvalidRequest: its list cost is not made from a price book.
    """
    wanted = find_provider(text).folder
    known = [step.config["provider"] for step in pipeline.steps if step.ps_type == "costs.rerate"]
    if wanted not in known:
        raise InvalidRequest(f"{wanted} has no list costs of its own to price", hint=f"One of {', '.join(known)}.")
    return wanted
