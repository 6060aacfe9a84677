"""Runs: list, show, cancel."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from convergence.api.deps import OrgOf, PlatformOf
from convergence.api.fields import Answer, Body, Page, RequestText, Time
from convergence.api.gate import GatedRoute, org_key
from convergence.kit.jsontext import plain
from convergence.pipelines.models import RunRecord, RunStatus, StepRecord, StepStatus

router = APIRouter(prefix="/api/v1/pipelines/runs", tags=["runs"], route_class=GatedRoute)
_READ = [org_key("pipelines:read")]
_RUN = [org_key("pipelines:run")]


class RunQuery(Body):
    status: RunStatus | None = None
    pipeline_id: RequestText | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    cursor: RequestText | None = None


class StepAnswer(Answer):
    step_id: str
    ps_type: str
    status: StepStatus
    start_time: Time | None
    end_time: Time | None
    duration_ms: int | None
    rows_processed: int
    attempt: int
    error_code: str | None
    error_message: str | None
    metadata: dict[str, Any]


class RunAnswer(Answer):
    """Both days of the range are included. `trigger_by` is the API key that asked, by its id."""

    model_config = ConfigDict(from_attributes=True, frozen=True)

    pipeline_logging_id: str
    pipeline_id: str
    org_slug: str
    status: RunStatus
    trigger_type: str
    trigger_by: str
    accepted_at: Time
    start_date: date | None
    end_date: date | None
    start_time: Time | None
    end_time: Time | None
    duration_ms: int | None
    error_code: str | None
    error_message: str | None
    parameters: dict[str, Any]
    metadata: dict[str, Any]
    config_version: str
    worker_instance: str | None
    attempt: int
    backfill_id: str | None
    steps: list[StepAnswer]


@router.get("", dependencies=_READ)
async def list_runs(org: OrgOf, platform: PlatformOf, asked: Annotated[RunQuery, Query()]) -> Page[RunAnswer]:
    """Runs, newest first; `next_cursor` asks for the next page."""
    found, cursor = await platform.pipelines.page(
        org, status=asked.status, pipeline_id=asked.pipeline_id, limit=asked.limit, cursor=asked.cursor
    )
    return Page(items=[build_answer(run) for run in found], next_cursor=cursor)


@router.get("/{run_id}", dependencies=_READ)
async def show_run(run_id: str, org: OrgOf, platform: PlatformOf) -> RunAnswer:
    """One run with its steps."""
    return build_answer(await platform.pipelines.get(org, run_id))


@router.post("/{run_id}/cancel", dependencies=_RUN)
async def cancel_run(run_id: str, org: OrgOf, platform: PlatformOf) -> RunAnswer:
    """Cancel a run: at once while it waits, within moments while it runs. 409 where it has ended.

    What it has published stays: each day is replaced whole or not at all.
    """
    run = await platform.pipelines.cancel(org, run_id)
    platform.worker.cancel(run_id)
    return build_answer(run)


def build_answer(run: RunRecord) -> RunAnswer:
    """A run as it is shown."""
    names = RunAnswer.model_fields.keys() - {"pipeline_logging_id", "steps", "parameters", "metadata"}
    return RunAnswer(
        pipeline_logging_id=run.run_id,
        parameters=plain(run.parameters),
        metadata=plain(run.metadata),
        steps=[_step(step) for step in run.steps],
        **{name: getattr(run, name) for name in names},
    )


def _step(step: StepRecord) -> StepAnswer:
    names = StepAnswer.model_fields.keys() - {"metadata"}
    return StepAnswer(metadata=plain(step.metadata), **{name: getattr(step, name) for name in names})
