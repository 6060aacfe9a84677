"""Errors as RFC 9457 problems. The one table from exception to status is here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from convergence import errors
from convergence.api.exchange import Exchange
from convergence.errors import ConfigError, ConvergenceError, Fault
from convergence.kit.jsontext import plain
from convergence.security.redaction import redact, redact_value

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:convergence:problem:"

STATUSES: Final[Mapping[type[ConvergenceError], int]] = MappingProxyType(
    {
        errors.ConvergenceError: 500,
        errors.ConfigError: 422,
        errors.RequestError: 400,
        errors.InvalidRequest: 422,
        errors.Unauthenticated: 401,
        errors.Denied: 403,
        errors.NotFound: 404,
        errors.Conflict: 409,
        errors.QuotaExceeded: 429,
        errors.RateLimited: 429,
        errors.QueryRejected: 400,
        errors.CredentialInvalid: 400,
        errors.TooLarge: 413,
        errors.TransientError: 503,
        errors.ProviderUnavailable: 503,
        errors.WarehouseBusy: 503,
        errors.StoreUnavailable: 503,
        errors.SecretsUnavailable: 503,
        errors.LeaseLost: 503,
        errors.TerminalError: 500,
        errors.ProviderRejected: 502,
        errors.ProviderMisbehaved: 502,
        errors.StatementFailed: 500,
        errors.SchemaMismatch: 500,
        errors.DataQualityError: 500,
        errors.SecretUnreadable: 500,
        errors.StepFailed: 500,
        errors.UnsupportedError: 501,
        errors.Cancelled: 409,
    }
)

_RESERVED: Final = frozenset({"type", "title", "status", "code", "detail", "request_id", "hint", "errors", "faults"})
_CODES: Final = MappingProxyType({404: "route_not_found", 405: "method_not_allowed", 413: "too_large"})
_DETAILS: Final = MappingProxyType(
    {404: "there is no such route", 405: "the route does not answer this method", 413: "the body is too large"}
)
_TITLES: Final = MappingProxyType({413: "Content Too Large", 422: "Unprocessable Content"})  # RFC 9110's, any Python
_RETRY_SECONDS: Final = 5  # where a 503 does not say when
_MAX_PLACE_LENGTH: Final = 120
_CHALLENGE: Final = 'ApiKey realm="convergence"'


class Problem(Response):
    """A problem as the caller gets it."""

    media_type = MEDIA_TYPE

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        request_id: str,
        hint: str | None = None,
        faults: Sequence[Mapping[str, Any]] = (),
        fields: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        content: dict[str, Any] = {
            "type": TYPE_PREFIX + code,
            "title": _TITLES.get(status) or HTTPStatus(status).phrase,
            "status": status,
            "code": code,
            "detail": detail,
            "request_id": request_id,
        }
        if hint:
            content["hint"] = hint
        if faults:
            content["errors"] = list(faults)
        content |= {name: value for name, value in (fields or {}).items() if name not in _RESERVED}
        super().__init__(msgspec.json.encode(plain(content)), status, headers=dict(headers or {}))


def status_of(error: ConvergenceError) -> int:
    """The status of an error; one that is not in the table has its nearest ancestor's."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def build_problem(error: ConvergenceError, request_id: str) -> Problem:
    """Everything the error says, without the secrets in it."""
    status = status_of(error)
    return Problem(
        status,
        error.code,
        redact(error.message),
        request_id=request_id,
        hint=redact(error.hint) if error.hint else None,
        faults=_faults(error),
        fields=redact_value(error.fields),
        headers=_headers(error, status),
    )


def unexpected_problem(request_id: str) -> Problem:
    """For what nobody foresaw: nothing of the exception leaves the process."""
    return Problem(
        500,
        "internal",
        "something went wrong here",
        request_id=request_id,
        hint="The request_id finds the reason in the server's log.",
    )


async def answer_error(request: Request, error: Exception) -> Response:
    """Handler of ConvergenceError."""
    assert isinstance(error, ConvergenceError)  # noqa: S101 - what it is registered for
    return build_problem(error, Exchange.of(request.scope).request_id)


async def answer_invalid(request: Request, error: Exception) -> Response:
    """Handler of FastAPI's validation errors. What was sent is never sent back: it may hold a credential."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what it is registered for
    faults = [{"location": _place(one["loc"]), "message": str(one["msg"])} for one in error.errors()]
    return Problem(
        422,
        "invalid_request",
        "; ".join(f"{fault['location']}: {fault['message']}" for fault in faults),
        request_id=Exchange.of(request.scope).request_id,
        hint="/docs and docs/reference/http-api.md describe what each route takes.",
        faults=faults,
    )


async def answer_http(request: Request, error: Exception) -> Response:
    """Handler of what routing itself raises: no such route, no such method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    status = error.status_code
    return Problem(
        status,
        _CODES.get(status, "http_error"),
        _DETAILS.get(status, HTTPStatus(status).phrase),
        request_id=Exchange.of(request.scope).request_id,
        headers=error.headers,
    )


def _faults(error: ConvergenceError) -> list[dict[str, Any]]:
    if isinstance(error, ConfigError):
        return [_config_fault(fault) for fault in error.faults]
    given = error.fields.get("faults")
    return [{"message": redact(str(fault))} for fault in given] if isinstance(given, list | tuple) else []


def _config_fault(fault: Fault) -> dict[str, Any]:
    found = {"message": fault.message, "location": fault.path, "line": fault.line}
    found |= {"key": fault.key, "expected": fault.expected}
    kept: dict[str, Any] = redact_value({name: value for name, value in found.items() if value is not None})
    return kept


def _headers(error: ConvergenceError, status: int) -> dict[str, str]:
    headers: dict[str, str] = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = _CHALLENGE
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        seconds = getattr(error, "retry_after", None)
        headers["Retry-After"] = str(max(1, math.ceil(seconds if seconds is not None else _RETRY_SECONDS)))
    return headers


def _place(location: Sequence[str | int]) -> str:
    return redact(".".join(str(part) for part in location))[:_MAX_PLACE_LENGTH]
