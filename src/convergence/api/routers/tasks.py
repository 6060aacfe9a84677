"""Where the queue delivers. A 2xx answer ends the task; everything else brings it again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field, StrictInt

from convergence.api.deps import PlatformOf
from convergence.api.fields import Answer, Body, Text
from convergence.api.gate import GatedRoute, task_token
from convergence.api.routers.scheduler import TickAnswer
from convergence.errors import NotFound
from convergence.queue import Message, PushQueue

router = APIRouter(prefix="/api/v1/tasks", tags=["tasks"], route_class=GatedRoute)
_TOKEN = [task_token()]


class Hint(Body):
    """What to look at. The run's record is the truth, whatever the hint says."""

    org_slug: Annotated[Text, Field(max_length=100)]
    run_id: Annotated[Text, Field(max_length=100)]
    attempt: Annotated[StrictInt, Field(ge=0)] = 0


class SweepAnswer(Answer):
    announced: int


@router.post("/run", status_code=204, dependencies=_TOKEN)
async def take_run(hint: Hint, platform: PlatformOf) -> None:
    """Execute a run and answer when it has ended, was put off, or needs nothing.

    503 where this process has no room or the store is away: the queue delivers it again.
    """
    queue = platform.queue
    if not isinstance(queue, PushQueue):
        raise NotFound("this process takes no deliveries")
    await platform.worker.take(Message(hint.org_slug, hint.run_id, hint.attempt), within=queue.patience)


@router.post("/sweep", dependencies=_TOKEN)
async def take_sweep(platform: PlatformOf) -> SweepAnswer:
    """Announce every open run that nobody works on: for a scheduler to call where no process runs all the time."""
    return SweepAnswer(announced=await platform.worker.sweep())


@router.post("/tick", dependencies=_TOKEN)
async def take_tick(platform: PlatformOf) -> TickAnswer:
    """Start what is due, as `/scheduler/tick` does: for a scheduler that has a token and must not hold the root key."""
    return TickAnswer.model_validate(await platform.scheduler.tick())
