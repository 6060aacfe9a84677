"""Pipelines: which there are, running one, loading a range, what was never loaded."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query
from pydantic import AfterValidator, Field, JsonValue, StrictInt

from convergence.api.deps import CallerOf, OrgOf, PlatformOf
from convergence.api.fields import Answer, Body, Day, Page, Text
from convergence.api.gate import OPERATOR, Caller, GatedRoute, org_key
from convergence.bootstrap import Platform
from convergence.catalog import Pipeline
from convergence.errors import InvalidRequest
from convergence.kit.clock import today
from convergence.kit.jsontext import dumps
from convergence.kit.window import Window
from convergence.pipelines.gaps import find_gaps
from convergence.pipelines.models import RunRecord, RunStatus, TriggerType
from convergence.pipelines.service import MAX_DAYS, RunRequest, parse_window
from convergence.security.redaction import is_secret_name
from convergence.tenancy import OrgScope

router = APIRouter(prefix="/api/v1/pipelines", tags=["pipelines"], route_class=GatedRoute)
_READ = [org_key("pipelines:read")]
_RUN = [org_key("pipelines:run")]
_MAX_PARAMETER_BYTES: Final = 64 * 1024
_DEFAULT_DAYS: Final = 30


def _check_parameters(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters are recorded with the run, for everyone who may read runs."""
    if any(is_secret_name(name) for name in parameters):
        raise ValueError("has a secret's name; a run records its parameters: set credentials up with /integrations")
    if len(dumps(parameters)) > _MAX_PARAMETER_BYTES:
        raise ValueError("is larger than 64 KiB")
    return parameters


Parameters = Annotated[dict[Text, JsonValue], AfterValidator(_check_parameters)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="The same key and request within 24 hours give the same run; another request is 409.",
    ),
]


class RunBody(Body):
    """One day, or a range with both days included; neither is yesterday, UTC."""

    date: Day | None = None
    start_date: Day | None = None
    end_date: Day | None = None
    parameters: Parameters = Field(default_factory=dict)


class BackfillBody(Body):
    """Both days are included. The range is cut into runs of at most `chunk_days` days."""

    start_date: Day
    end_date: Day
    chunk_days: Annotated[StrictInt, Field(ge=1, le=MAX_DAYS)] | None = None
    parameters: Parameters = Field(default_factory=dict)


class AcceptedAnswer(Answer):
    pipeline_logging_id: str
    pipeline_id: str
    org_slug: str
    status: RunStatus


class BackfillRunAnswer(AcceptedAnswer):
    start_date: date | None
    end_date: date | None


class BackfillAnswer(Answer):
    backfill_id: str
    runs: list[BackfillRunAnswer]


class PipelineAnswer(Answer):
    pipeline_id: str
    provider: str
    domain: str
    description: str | None
    schedule: str | None
    timeout_minutes: int
    retry_attempts: int
    config_version: str
    steps: list[StepOfPipeline]


class StepOfPipeline(Answer):
    step_id: str
    ps_type: str
    depends_on: list[str]
    on_failure: str


class GapQuery(Body):
    start_date: Day | None = None
    end_date: Day | None = None


class GapAnswer(Answer):
    stream: str
    missing: list[date]


@router.get("", dependencies=_READ)
async def list_pipelines(platform: PlatformOf) -> Page[PipelineAnswer]:
    """The pipelines an organization may run."""
    return Page(items=[_pipeline(pipeline) for pipeline in platform.pipelines.discovered()])


@router.get("/gaps/{org}", dependencies=_READ)
async def list_gaps(org: OrgOf, platform: PlatformOf, asked: Annotated[GapQuery, Query()]) -> Page[GapAnswer]:
    """Days that were never loaded, by stream; without days the last 30 up to yesterday."""
    window = parse_window(None, asked.start_date, asked.end_date)
    if window is None:
        current = today(platform.clock)
        window = Window(current - timedelta(days=_DEFAULT_DAYS), current)
    if len(window) > MAX_DAYS:
        raise InvalidRequest(f"{len(window)} days are more than {MAX_DAYS}", hint="Ask for fewer days at a time.")
    found = await find_gaps(platform.warehouse, org, window)
    return Page(items=[GapAnswer(stream=gap.stream, missing=list(gap.missing)) for gap in found])


@router.post("/run/{org}/{provider}/{domain}", status_code=202, dependencies=_RUN)
async def run_domain(
    provider: str,
    domain: str,
    org: OrgOf,
    platform: PlatformOf,
    caller: CallerOf,
    body: RunBody | None = None,
    idempotency_key: IdempotencyKey = None,
) -> AcceptedAnswer:
    """Run the pipeline of configs/{provider}/{domain}.yml. The answer comes before the run: poll it by its id.

    429 where the plan's day, month or concurrency is used up, with Retry-After.
    """
    pipeline = platform.pipelines.find_by_path(provider, domain, None)
    return await _run(platform, org, caller, pipeline, body, idempotency_key)


@router.post("/run/{org}/{provider}/{domain}/{pipeline}", status_code=202, dependencies=_RUN)
async def run_pipeline(
    provider: str,
    domain: str,
    pipeline: str,
    org: OrgOf,
    platform: PlatformOf,
    caller: CallerOf,
    body: RunBody | None = None,
    idempotency_key: IdempotencyKey = None,
) -> AcceptedAnswer:
    """Run the pipeline of configs/{provider}/{domain}/{pipeline}.yml; otherwise as the shorter path."""
    found = platform.pipelines.find_by_path(provider, domain, pipeline)
    return await _run(platform, org, caller, found, body, idempotency_key)


@router.post("/run/{pipeline_id}", status_code=202, dependencies=_RUN)
async def run_pipeline_by_id(
    pipeline_id: str,
    org: OrgOf,
    platform: PlatformOf,
    caller: CallerOf,
    body: RunBody | None = None,
    idempotency_key: IdempotencyKey = None,
) -> AcceptedAnswer:
    """Run a pipeline by its pipeline_id or file name, for the organization of the key.

    409 with the candidates where more than one has the name.
    """
    return await _run(platform, org, caller, platform.pipelines.find(pipeline_id), body, idempotency_key)


@router.post("/backfill/{org}/{provider}/{domain}", status_code=202, dependencies=_RUN)
async def backfill_domain(
    provider: str, domain: str, body: BackfillBody, org: OrgOf, platform: PlatformOf, caller: CallerOf
) -> BackfillAnswer:
    """Load a range in chunks. It counts as one run of the day's quota, and its chunks wait for free slots."""
    pipeline = platform.pipelines.find_by_path(provider, domain, None)
    return await _backfill(platform, org, caller, pipeline, body)


@router.post("/backfill/{org}/{provider}/{domain}/{pipeline}", status_code=202, dependencies=_RUN)
async def backfill_pipeline(
    provider: str, domain: str, pipeline: str, body: BackfillBody, org: OrgOf, platform: PlatformOf, caller: CallerOf
) -> BackfillAnswer:
    """Load a range in chunks by the pipeline of configs/{provider}/{domain}/{pipeline}.yml."""
    found = platform.pipelines.find_by_path(provider, domain, pipeline)
    return await _backfill(platform, org, caller, found, body)


@router.post("/backfill/{pipeline_id}", status_code=202, dependencies=_RUN)
async def backfill_pipeline_by_id(
    pipeline_id: str, body: BackfillBody, org: OrgOf, platform: PlatformOf, caller: CallerOf
) -> BackfillAnswer:
    """Load a range in chunks by the pipeline_id, for the organization of the key."""
    return await _backfill(platform, org, caller, platform.pipelines.find(pipeline_id), body)


async def _run(
    platform: Platform,
    org: OrgScope,
    caller: Caller,
    pipeline: Pipeline,
    body: RunBody | None,
    idempotency_key: str | None,
) -> AcceptedAnswer:
    asked = body or RunBody()
    request = RunRequest(
        pipeline,
        parse_window(asked.date, asked.start_date, asked.end_date),
        asked.parameters,
        trigger_type=TriggerType.CLI if caller.name == OPERATOR else TriggerType.API,
        trigger_by=caller.name,
        idempotency_key=idempotency_key,
    )
    run = await platform.pipelines.run(org, request)
    return AcceptedAnswer(**_accepted(run))


async def _backfill(
    platform: Platform, org: OrgScope, caller: Caller, pipeline: Pipeline, body: BackfillBody
) -> BackfillAnswer:
    window = parse_window(None, body.start_date, body.end_date)
    request = RunRequest(pipeline, window, body.parameters, trigger_by=caller.name)
    accepted = await platform.pipelines.backfill(org, request, chunk_days=body.chunk_days)
    return BackfillAnswer(
        backfill_id=accepted.backfill_id,
        runs=[
            BackfillRunAnswer(**_accepted(run), start_date=run.start_date, end_date=run.end_date)
            for run in accepted.runs
        ],
    )


def _accepted(run: RunRecord) -> dict[str, Any]:
    return {
        "pipeline_logging_id": run.run_id,
        "pipeline_id": run.pipeline_id,
        "org_slug": run.org_slug,
        "status": run.status,
    }


def _pipeline(pipeline: Pipeline) -> PipelineAnswer:
    names = PipelineAnswer.model_fields.keys() - {"steps"}
    steps = [
        StepOfPipeline(
            step_id=step.step_id,
            ps_type=step.ps_type,
            depends_on=list(step.depends_on),
            on_failure=str(step.on_failure),
        )
        for step in pipeline.steps
    ]
    return PipelineAnswer(steps=steps, **{name: getattr(pipeline, name) for name in names})
