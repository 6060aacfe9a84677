"""The vendor's error bodies."""

from __future__ import annotations

import msgspec


class Refusal(Exception):
    """An error answer in the vendor's shape."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        type: str = "invalid_request_error",  # noqa: A002 - the vendor's name of the field
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = msgspec.json.encode({"error": {"message": message, "type": type, "param": param, "code": code}})


def failure_body(status: int, message: str, code: str | None) -> bytes:
    """What a request meets that was chosen to fail."""
    kind = "rate_limit_error" if status == 429 else "server_error"
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": code}})


def bad_parameter(param: str, message: str, code: str = "invalid_value") -> Refusal:
    return Refusal(400, message, param=param, code=code)


def unknown_parameter(param: str) -> Refusal:
    return bad_parameter(param, f"Unknown query parameter: '{param}'.", "unknown_parameter")


def wrong_key(key: str) -> Refusal:
    masked = f"{key[:8]}****" if len(key) > 12 else "****"
    return Refusal(401, f"Incorrect API key provided: {masked}.", code="invalid_api_key")


def no_key() -> Refusal:
    return Refusal(401, "You didn't provide an API key in an Authorization header (Bearer auth).")


def wrong_kind_of_key() -> Refusal:
    return Refusal(401, "This endpoint needs an organization admin key.", code="invalid_api_key")


def missing_scope(scope: str) -> Refusal:
    text = f"You have insufficient permissions for this operation. Missing scopes: {scope}."
    return Refusal(403, text, code="missing_scope")


def not_found(what: str) -> Refusal:
    return Refusal(404, f"No such {what}.", code="not_found")


def invalid_url(method: str, path: str) -> Refusal:
    return Refusal(404, f"Invalid URL ({method} {path})")


def wrong_method(method: str) -> Refusal:
    return Refusal(405, f"Not allowed to {method} on this endpoint.", code="method_not_supported")
