"""The vendor's error bodies."""

from __future__ import annotations

from http import HTTPStatus

import msgspec


class Refusal(Exception):
    """An error answer in the vendor's shape."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(status, message)


def error_body(status: int, message: str) -> bytes:
    return msgspec.json.encode({"error": HTTPStatus(status).phrase, "message": message})


def bad_request(message: str) -> Refusal:
    return Refusal(400, message)


def wrong_key() -> Refusal:
    return Refusal(401, "Invalid API key")


def no_permission() -> Refusal:
    return Refusal(403, "This API key does not have access to the team's data")


def not_found() -> Refusal:
    return Refusal(404, "Not found")


def too_many() -> Refusal:
    """It names no time to come back."""
    return Refusal(429, "Rate limit exceeded. Please try again later.")
