"""Request bodies as strict JSON: UTF-8, finite numbers, each key once."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from starlette.requests import Request

from convergence.errors import InvalidRequest


class JsonRequest(Request):
    """A request whose JSON was read by the strict reader before FastAPI asks for it."""

    async def prepare(self, *, is_expected: bool) -> None:
        """Read the body, and its JSON where the route takes one.

        Raises:
            TooLarge: above the cap.
            InvalidRequest: not JSON, or not declared as such.
        """
        body = await self.body()
        if not is_expected or not body:
            return
        if not _is_json(self.headers.get("content-type", "")):
            raise InvalidRequest("the body is not declared as JSON", hint="Send Content-Type: application/json.")
        self._json = parse_json(body)


def parse_json(body: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        InvalidRequest: not UTF-8, not JSON, NaN or infinite, nested beyond reason, or a key twice in one object.
    """
    try:
        msgspec.json.decode(body)
        return json.loads(body, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        # The reasons of the readers quote what they read: only where it stopped may go back.
        raise InvalidRequest(f"the body is not JSON{_place(error)}", hint="Send one JSON object in UTF-8.") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidRequest("an object of the body has a key twice", hint="Send each key once.")
    return found


def _place(error: Exception) -> str:
    _, separator, byte = str(error).rpartition("(byte ")
    number = byte.rstrip(")")
    return f" (byte {number})" if separator and number.isdecimal() else ""


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
