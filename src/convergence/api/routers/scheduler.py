"""The tick that a cloud scheduler sends."""

from __future__ import annotations

from fastapi import APIRouter

from convergence.api.deps import PlatformOf
from convergence.api.fields import Answer
from convergence.api.gate import GatedRoute, root_key

router = APIRouter(prefix="/api/v1/scheduler", tags=["scheduler"], route_class=GatedRoute)


class TickAnswer(Answer):
    """`deferred` slots were over a plan's quota and are tried again at the next tick."""

    due: int
    enqueued: int
    deferred: int


@router.post("/tick", dependencies=[root_key()])
async def tick(platform: PlatformOf) -> TickAnswer:
    """Start every due pipeline of every active organization with a valid integration.

    Each schedule slot is started once, however often this is called, and missed slots are caught up.
    """
    return TickAnswer.model_validate(await platform.scheduler.tick())
