"""Health and metrics: at the root, without a key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final, Literal

import structlog
from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, Response

from convergence import __version__
from convergence.api.deps import PlatformOf
from convergence.api.exchange import Exchange
from convergence.api.fields import Answer
from convergence.api.problems import Problem
from convergence.bootstrap import Platform
from convergence.errors import ConvergenceError

log = structlog.get_logger(__name__)

router = APIRouter(tags=["health"])
_PATIENCE_SECONDS: Final = 5
_OK: Final = "ok"


class HealthAnswer(Answer):
    status: Literal["ok"] = "ok"
    version: str = __version__


class ReadyAnswer(HealthAnswer):
    checks: dict[str, str]


@router.get("/health")
async def health() -> HealthAnswer:
    """The process answers. Touches nothing."""
    return HealthAnswer()


@router.get("/health/live")
async def live() -> HealthAnswer:
    """The process answers. Touches nothing."""
    return HealthAnswer()


@router.get("/health/ready", response_model=ReadyAnswer)
async def ready(request: Request, platform: PlatformOf) -> Response:
    """Whether warehouse, queue and state store answer; 503 names those that do not."""
    checks = await _check(platform)
    down = [name for name, outcome in checks.items() if outcome != _OK]
    if not down:
        return JSONResponse(ReadyAnswer(checks=checks).model_dump())
    return Problem(
        503,
        "not_ready",
        f"down: {', '.join(down)}",
        request_id=Exchange.of(request.scope).request_id,
        fields={"checks": checks},
        headers={"Retry-After": str(_PATIENCE_SECONDS)},
    )


@router.get("/metrics", response_class=Response)
async def metrics() -> Response:
    """Counters of this process as Prometheus text."""
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _check(platform: Platform) -> dict[str, str]:
    pings: dict[str, Awaitable[None]] = {
        "warehouse": platform.warehouse.ping(),
        "queue": platform.queue.ping(),
        "state": platform.state.ping(),
    }
    outcomes = await asyncio.gather(*(_outcome(name, ping) for name, ping in pings.items()))
    return dict(zip(pings, outcomes, strict=True))


async def _outcome(name: str, ping: Awaitable[None]) -> str:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await ping
    except TimeoutError:
        return f"no answer within {_PATIENCE_SECONDS} s"
    except ConvergenceError as error:
        log.warning("not ready", part=name, error=error.message)
        return error.code
    return _OK
