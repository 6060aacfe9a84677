"""Errors in the shape of Google's APIs, and of its token service."""

from __future__ import annotations

import msgspec

_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


class Refusal(Exception):
    """An error answer."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


def error_body(status: int, message: str) -> bytes:
    error = {"code": status, "message": message, "status": _STATUSES.get(status, "UNKNOWN")}
    return msgspec.json.encode({"error": error})


def refuse(status: int, message: str) -> Refusal:
    return Refusal(status, error_body(status, message))


def no_grant(description: str) -> Refusal:
    """What the token service answers."""
    return Refusal(400, msgspec.json.encode({"error": "invalid_grant", "error_description": description}))


def no_credential() -> Refusal:
    return refuse(
        403,
        "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other"
        " form of API consumer identity to call this API.",
    )


def wrong_key() -> Refusal:
    return refuse(400, "API key not valid. Please pass a valid API key.")


def wrong_token() -> Refusal:
    return refuse(401, "Request had invalid authentication credentials. Expected OAuth 2 access token.")


def no_permission() -> Refusal:
    return refuse(403, "The caller does not have permission")


def api_is_off() -> Refusal:
    return refuse(403, "Google Sheets API has not been used in project 1 before or it is disabled.")


def not_found() -> Refusal:
    return refuse(404, "Requested entity was not found.")


def bad_range(text: str) -> Refusal:
    return refuse(400, f"Unable to parse range: {text}")


def unknown_name(name: str) -> Refusal:
    return refuse(400, f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter.')


def bad_value(name: str, value: str) -> Refusal:
    return refuse(400, f"Invalid value at '{name}', \"{value}\"")
