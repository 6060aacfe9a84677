"""The layer around every provider that makes requests go wrong and notes them."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from email.utils import format_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, urlencode

from convergence.simulator.cursor.routes import read_key
from convergence.simulator.damage import SIMULATED_PAGE, damage_body
from convergence.simulator.faults import PAGE_KINDS, ROW_KINDS, FaultRule
from convergence.simulator.journal import Entry
from convergence.simulator.providers import PROVIDERS

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from convergence.simulator.simulator import Simulator

Headers = list[tuple[bytes, bytes]]
_HTML = b"<!doctype html><html><body><h1>Sign in to continue</h1></body></html>"
_JSON = (b"content-type", b"application/json")
_DEPTH = 100_000
_MIB = 1 << 20


class Answer:
    """A whole response, held back."""

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status = status
        self.headers = [(name, value) for name, value in headers if name != b"content-length"]
        self.body = body

    async def send(self, send: Send) -> None:
        length = (b"content-length", str(len(self.body)).encode())
        await send({"type": "http.response.start", "status": self.status, "headers": [*self.headers, length]})
        await send({"type": "http.response.body", "body": self.body})

    def head(self, length: int) -> bytes:
        """The status line and headers as they go over the wire, with a length of one's own."""
        phrase = HTTPStatus(self.status).phrase
        lines = [f"HTTP/1.1 {self.status} {phrase}".encode()]
        lines.extend(name + b": " + value for name, value in [*self.headers, (b"content-length", str(length).encode())])
        return b"\r\n".join(lines) + b"\r\n\r\n"


class Misbehaviour:
    """ASGI layer: asks the script about each request and carries the fault out."""

    def __init__(self, app: ASGIApp, simulator: Simulator) -> None:
        self._app = app
        self._simulator = simulator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/_simulator"):
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        page = _page(scope)
        rule = self._simulator.faults.choose(scope["path"], _key(scope))
        scope = _without_simulated_page(scope, page)
        if rule is None:
            status = await _pass(self._app, scope, receive, send)
        else:
            status = await self._spoil(rule, page, scope, receive, send)
        self._simulator.journal.note(_entry(started, scope, status, rule))

    async def _spoil(self, rule: FaultRule, page: str | None, scope: Scope, receive: Receive, send: Send) -> int | None:
        answer = await self._answer(rule, page, scope, receive)
        await _deliver(answer, rule, scope, receive, send)
        return None if rule.kind in {"reset", "reset_mid_body"} else answer.status

    async def _answer(self, rule: FaultRule, page: str | None, scope: Scope, receive: Receive) -> Answer:
        if rule.kind == "status":
            return Answer(rule.status, self._error_headers(rule), _error_body(scope["path"], rule))
        if rule.kind in _FALSE_ANSWERS:
            return _FALSE_ANSWERS[rule.kind]()
        answer = await _capture(self._app, scope, receive)
        if rule.kind in PAGE_KINDS | ROW_KINDS and answer.status == 200:
            answer.body = damage_body(answer.body, rule, self._simulator.faults.random, page=page)
        return answer

    def _error_headers(self, rule: FaultRule) -> Headers:
        if rule.retry_after is None:
            return [_JSON]
        moment = self._simulator.clock.now() + timedelta(seconds=rule.retry_after)
        text = format_datetime(moment, usegmt=True) if rule.retry_after_as_date else f"{rule.retry_after:g}"
        return [_JSON, (b"retry-after", text.encode())]


async def _deliver(answer: Answer, rule: FaultRule, scope: Scope, receive: Receive, send: Send) -> None:
    match rule.kind:
        case "reset" | "reset_mid_body" | "truncated" | "wrong_length":
            await _break(answer, rule.kind, scope, receive)
        case "drip":
            await _drip(answer, rule.seconds, send)
        case "slow":
            await asyncio.sleep(rule.seconds)
            await answer.send(send)
        case _:
            await answer.send(send)


async def _pass(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> int | None:
    """Let a request through untouched and tell its status."""
    status: int | None = None

    async def note(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)
        await send(message)

    await app(scope, receive, note)
    return status


async def _capture(app: ASGIApp, scope: Scope, receive: Receive) -> Answer:
    started: Message = {}
    body = bytearray()

    async def keep(message: Message) -> None:
        if message["type"] == "http.response.start":
            started.update(message)
        else:
            body.extend(message.get("body", b""))

    await app(scope, receive, keep)
    return Answer(started["status"], list(started["headers"]), bytes(body))


async def _drip(answer: Answer, seconds: float, send: Send) -> None:
    """The answer in twenty pieces over `seconds`."""
    size = max(1, -(-len(answer.body) // 20))
    length = (b"content-length", str(len(answer.body)).encode())
    await send({"type": "http.response.start", "status": answer.status, "headers": [*answer.headers, length]})
    for first in range(0, len(answer.body), size):
        await asyncio.sleep(seconds / 20)
        piece = answer.body[first : first + size]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _break(answer: Answer, kind: str, scope: Scope, receive: Receive) -> None:
    """Write the answer past the server, wrongly, and hang up."""
    connection = scope.get("state", {}).get("connection")
    if connection is None:
        raise ConnectionResetError(f"simulated {kind}: only a real socket can show more")
    transport: asyncio.Transport = connection.transport
    for piece in _wrong_pieces(answer, kind):
        transport.write(piece)
    if kind == "reset":
        transport.abort()
    elif kind == "reset_mid_body":
        await asyncio.sleep(0.05)
        transport.abort()
    else:
        transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass


def _wrong_pieces(answer: Answer, kind: str) -> Iterable[bytes]:
    half = len(answer.body) // 2
    if kind in {"truncated", "reset_mid_body"}:
        return [answer.head(len(answer.body)), answer.body[:half]]
    if kind == "wrong_length":
        return [answer.head(half), answer.body]
    return []


def _error_body(path: str, rule: FaultRule) -> bytes:
    """In the shape of the vendor whose path it is."""
    for provider in PROVIDERS.values():
        if path.startswith(f"{provider.path}/"):
            return provider.failure(rule.status, "Simulated: this request was chosen to fail.", rule.code)
    return b"{}"


def _html() -> Answer:
    return Answer(200, [(b"content-type", b"text/html; charset=utf-8")], _HTML)


def _redirect() -> Answer:
    return Answer(302, [(b"location", b"http://169.254.169.254/latest/meta-data/")], b"")


def _deep_json() -> Answer:
    return Answer(200, [_JSON], b"[" * _DEPTH + b"]" * _DEPTH)


def _gzip_bomb() -> Answer:
    """64 MiB of spaces in 64 KiB."""
    packed = gzip.compress(b"{" + b" " * (64 * _MIB) + b"}", compresslevel=9)
    return Answer(200, [_JSON, (b"content-encoding", b"gzip")], packed)


def _huge_body() -> Answer:
    return Answer(200, [_JSON], b'{"data":"' + b"a" * (64 * _MIB) + b'"}')


_FALSE_ANSWERS: dict[str, Callable[[], Answer]] = {
    "html": _html,
    "redirect": _redirect,
    "deep_json": _deep_json,
    "gzip_bomb": _gzip_bomb,
    "huge_body": _huge_body,
}


def _entry(started: float, scope: Scope, status: int | None, rule: FaultRule | None) -> Entry:
    query = scope["query_string"].decode()
    return Entry(started, scope["method"], scope["path"], query, status, rule.kind if rule else None)


def _key(scope: Scope) -> str | None:
    headers = {name: value.decode("latin-1").strip() for name, value in scope["headers"]}
    kind, _, secret = headers.get(b"authorization", "").partition(" ")
    if kind.lower() == "basic":
        return read_key(headers[b"authorization"]) or None
    return headers.get(b"x-api-key") or secret.strip() or None


def _page(scope: Scope) -> str | None:
    values: dict[str, list[str]] = parse_qs(scope["query_string"].decode())
    return values.get("page", [None])[-1]


def _without_simulated_page(scope: Scope, page: str | None) -> dict[str, Any]:
    if page is None or not page.startswith(SIMULATED_PAGE):
        return dict(scope)
    pairs = parse_qsl(scope["query_string"].decode(), keep_blank_values=True)
    return {**scope, "query_string": urlencode([pair for pair in pairs if pair[0] != "page"]).encode()}
