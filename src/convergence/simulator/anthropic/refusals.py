"""The vendor's error bodies."""

from __future__ import annotations

import msgspec

from convergence.simulator.chance import identifier

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class Refusal(Exception):
    """An error answer in the vendor's shape."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(status, message)


def error_body(status: int, message: str) -> bytes:
    error = {"type": _TYPES.get(status, "api_error"), "message": message}
    return msgspec.json.encode({"type": "error", "error": error, "request_id": request_id(message)})


def request_id(*parts: object) -> str:
    return identifier("req_", *parts)


def bad_parameter(name: str, message: str) -> Refusal:
    return Refusal(400, f"{name}: {message}")


def no_key() -> Refusal:
    return Refusal(401, "x-api-key header is required")


def wrong_key() -> Refusal:
    return Refusal(401, "invalid x-api-key")


def no_version() -> Refusal:
    return Refusal(400, "anthropic-version: header is required")


def no_permission() -> Refusal:
    return Refusal(403, "This API key does not have permission to read the organization's usage and cost.")


def not_found() -> Refusal:
    return Refusal(404, "Not found")


def wrong_method() -> Refusal:
    return Refusal(405, "Method Not Allowed")
