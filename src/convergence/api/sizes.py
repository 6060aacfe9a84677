"""Caps on what a request may bring: headers at the door, the body when it is read."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from convergence.api.exchange import Exchange
from convergence.api.problems import Problem
from convergence.errors import TooLarge

_PER_HEADER = 4  # colon, space, CR, LF


class SizeLayer:
    """Answers 431 for headers above the cap. A body above its cap raises where it is read, after the key was checked.

    The cap on bodies holds for chunked ones too: what counts is what arrives.
    """

    def __init__(self, app: ASGIApp, *, max_header_bytes: int, max_body_bytes: int) -> None:
        self._app = app
        self._max_header_bytes = max_header_bytes
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif _header_bytes(scope) > self._max_header_bytes:
            await self._refuse_headers(scope, receive, send)
        else:
            await self._app(scope, self._counted(scope, receive), send)

    def _counted(self, scope: Scope, receive: Receive) -> Receive:
        declared = Headers(scope=scope).get("content-length", "")
        arrived = 0

        async def counted() -> Message:
            nonlocal arrived
            if declared.isdecimal() and int(declared) > self._max_body_bytes:
                raise self._too_large()
            message = await receive()
            arrived += len(message.get("body", b""))
            if arrived > self._max_body_bytes:
                raise self._too_large()
            return message

        return counted

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"the body is larger than {self._max_body_bytes} bytes", hint="MAX_REQUEST_SIZE_BYTES is the server's cap."
        )

    async def _refuse_headers(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = Problem(
            431,
            "headers_too_large",
            f"the headers are larger than {self._max_header_bytes} bytes",
            request_id=Exchange.of(scope).request_id,
            hint="MAX_HEADER_SIZE_BYTES is the server's cap.",
        )
        await problem(scope, receive, send)


def _header_bytes(scope: Scope) -> int:
    return sum(len(name) + len(value) + _PER_HEADER for name, value in scope["headers"])
