"""Caps on what a request may bring: headers at the door, the body when it is read."""

from __future__ import annotations

from typing import Final, NamedTuple

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from convergence.api.exchange import Exchange
from convergence.api.problems import Problem
from convergence.errors import TooLarge

UPLOADS: Final = "/api/v1/files/"
_PER_HEADER = 4  # colon, space, CR, LF
_AROUND_UPLOAD = 16 * 1024  # the form around the file, which has the whole cap for itself


class Cap(NamedTuple):
    """The most bytes of a body, and the setting that says so."""

    max_bytes: int
    setting: str


class SizeLayer:
    """Answers 431 for headers above the cap. A body above its cap raises where it is read, after the key was checked.

    The cap on bodies holds for chunked ones too: what counts is what arrives. Uploaded files have a cap of their own.
    """

    def __init__(self, app: ASGIApp, *, max_header_bytes: int, max_body_bytes: int, max_upload_bytes: int) -> None:
        self._app = app
        self._max_header_bytes = max_header_bytes
        self._body = Cap(max_body_bytes, "MAX_REQUEST_SIZE_BYTES")
        self._upload = Cap(max_upload_bytes + _AROUND_UPLOAD, "MAX_UPLOAD_SIZE_BYTES")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif _header_bytes(scope) > self._max_header_bytes:
            await self._refuse_headers(scope, receive, send)
        else:
            await self._app(scope, self._counted(scope, receive), send)

    def _counted(self, scope: Scope, receive: Receive) -> Receive:
        declared = Headers(scope=scope).get("content-length", "")
        cap = self._upload if scope["path"].startswith(UPLOADS) else self._body
        arrived = 0

        async def counted() -> Message:
            nonlocal arrived
            if declared.isdecimal() and int(declared) > cap.max_bytes:
                raise _too_large(cap)
            message = await receive()
            arrived += len(message.get("body", b""))
            if arrived > cap.max_bytes:
                raise _too_large(cap)
            return message

        return counted

    async def _refuse_headers(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = Problem(
            431,
            "headers_too_large",
            f"the headers are larger than {self._max_header_bytes} bytes",
            request_id=Exchange.of(scope).request_id,
            hint="MAX_HEADER_SIZE_BYTES is the server's cap.",
        )
        await problem(scope, receive, send)


def _too_large(cap: Cap) -> TooLarge:
    return TooLarge(f"the body is larger than {cap.max_bytes} bytes", hint=f"{cap.setting} is the server's cap.")


def _header_bytes(scope: Scope) -> int:
    return sum(len(name) + len(value) + _PER_HEADER for name, value in scope["headers"])
