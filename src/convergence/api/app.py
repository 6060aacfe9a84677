"""The application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Final

import structlog
from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from convergence import __version__
from convergence.api.gate import Gate
from convergence.api.layers import ExchangeLayer
from convergence.api.problems import answer_error, answer_http, answer_invalid
from convergence.api.routers import ROUTERS
from convergence.api.sizes import SizeLayer
from convergence.api.throttle import Throttle
from convergence.bootstrap import Platform, open_platform
from convergence.errors import ConvergenceError
from convergence.queue import PushQueue
from convergence.settings import Settings

log = structlog.get_logger(__name__)

_DESCRIPTION: Final = """Cost and usage of AI and cloud providers, organization by organization, exact to the cent.

Amounts are strings, days are ISO 8601 and inclusive, times are UTC with Z. Errors are problems (RFC 9457) with a
`code` to branch on and a `request_id` to ask about. An organization's key goes into `X-API-Key`, the operator's into
`X-CA-Root-Key`."""
_EXPOSED_HEADERS: Final = (
    *("X-Request-ID", "Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"),
    *("X-Row-Count", "X-Truncated", "X-Duration-Ms"),
)
_ALLOWED_HEADERS: Final = ("X-API-Key", "X-CA-Root-Key", "X-Request-ID", "Idempotency-Key", "Content-Type")
# Requests are traced; validation failures and exceptions are not logged by FastAPI, which would quote what was sent.
_TELEMETRY: Final[TelemetryConfig] = {
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
Opening = Callable[[Settings], AbstractAsyncContextManager[Platform]]


def create_app(
    settings: Settings,
    *,
    work: bool = True,
    schedule: bool = True,
    operator_key: str | None = None,
    routers: Sequence[APIRouter] = ROUTERS,
    open_with: Opening = open_platform,
) -> FastAPI:
    """The application over a platform that opens when it starts and closes when it ends.

    `operator_key` is for a process that embeds the application: with it in X-Operator-Key the caller is the operator,
    or acts for the organization in X-Operator-Org.
    """
    shows_docs = not settings.is_production
    app = FastAPI(
        title="Convergence",
        version=__version__,
        description=_DESCRIPTION,
        openapi_url="/openapi.json" if shows_docs else None,
        docs_url="/docs" if shows_docs else None,
        redoc_url=None,
        lifespan=_lifespan(settings, operator_key, open_with, work=work, schedule=schedule),
        generate_unique_id_function=_operation_id,
        telemetry=_TELEMETRY,
    )
    for router in routers:
        app.include_router(router)
    for kind, handler in (
        (ConvergenceError, answer_error),
        (RequestValidationError, answer_invalid),
        (HTTPException, answer_http),
    ):
        app.add_exception_handler(kind, handler)
    _add_layers(app, settings)
    return app


def _add_layers(app: FastAPI, settings: Settings) -> None:
    """The last one added is the outermost."""
    app.add_middleware(
        SizeLayer,
        max_header_bytes=settings.max_header_size_bytes,
        max_body_bytes=settings.max_request_size_bytes,
        max_upload_bytes=settings.max_upload_size_bytes,
    )
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=list(_ALLOWED_HEADERS),
            expose_headers=list(_EXPOSED_HEADERS),
        )
    app.add_middleware(ExchangeLayer, is_production=settings.is_production)


def _lifespan(
    settings: Settings, operator_key: str | None, open_with: Opening, *, work: bool, schedule: bool
) -> Lifespan:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if settings.ca_root_api_key is None and operator_key is None:
            log.warning("CA_ROOT_API_KEY is not set: nobody can bootstrap or onboard over HTTP")
        async with open_with(settings) as platform:
            app.state.platform = platform
            pushes = platform.queue if work and isinstance(platform.queue, PushQueue) else None
            async with aclosing(Throttle(settings)) as throttle:
                app.state.gate = Gate(settings, platform.organizations, throttle, operator_key, pushes)
                if work:
                    platform.start_work()
                if schedule:
                    platform.start_scheduler()
                yield

    return lifespan


def _operation_id(route: APIRoute) -> str:
    """The name of the function that answers: stable, unique, and what a generated client calls its method."""
    return route.name
