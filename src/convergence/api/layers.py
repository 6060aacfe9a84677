"""The outermost layer of the application."""

from __future__ import annotations

import re
import time
from typing import Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from convergence.api.exchange import Exchange, attach
from convergence.api.problems import unexpected_problem
from convergence.kit import metrics
from convergence.kit.ids import new_id

log = structlog.get_logger(__name__)

_SANE_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_QUIET_ROUTES: Final = ("/health", "/metrics")


class ExchangeLayer:
    """The outermost layer: request id, log line, metrics, headers, and an answer whatever happens inside."""

    def __init__(self, app: ASGIApp, *, is_production: bool = False) -> None:
        self._app = app
        self._headers = dict(_SECURITY_HEADERS)
        if is_production:
            self._headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(_request_id(Headers(scope=scope)))
        attach(scope, exchange)
        started = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=exchange.request_id):
            try:
                await self._answer(exchange, scope, receive, send)
            finally:
                _record(exchange, scope, time.perf_counter() - started)

    async def _answer(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        is_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal is_started
            if message["type"] == "http.response.start":
                is_started = True
                exchange.status = message["status"]
                self._add_headers(exchange, MutableHeaders(scope=message))
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        # The last of the three boundaries: a request ends with an answer, and its reason is in the log alone.
        except Exception:
            log.exception("request failed unexpectedly")
            if is_started:
                raise
            await unexpected_problem(exchange.request_id)(scope, receive, send_with_headers)

    def _add_headers(self, exchange: Exchange, headers: MutableHeaders) -> None:
        headers["X-Request-ID"] = exchange.request_id
        for name, value in {**self._headers, **exchange.headers}.items():
            headers.setdefault(name, value)


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if _SANE_ID.fullmatch(given) else new_id("req")


def _record(exchange: Exchange, scope: Scope, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", "unmatched")
    method = scope["method"] if route != "unmatched" else "any"
    metrics.API_REQUESTS.labels(route=route, method=method, status=str(exchange.status)).inc()
    metrics.API_SECONDS.labels(route=route, method=method).observe(seconds)
    write = log.debug if route.startswith(_QUIET_ROUTES) and exchange.status < 400 else log.info
    write(
        "request",
        method=scope["method"],
        route=route,
        status=exchange.status,
        duration_ms=round(seconds * 1000, 1),
        org_slug=exchange.org_slug,
    )
