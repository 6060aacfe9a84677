"""A provider on loopback that answers by script, one reply per request, and notes when each request came."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from convergence.connectors import HttpPolicy, HttpPool
from convergence.kit.clock import SystemClock

SWIFT = HttpPolicy(backoff_base=0.01, backoff_cap=0.02)


@dataclass(frozen=True)
class Reply:
    """Bytes to send. `length` lies about the body's, `pause` waits between its bytes, `cut` closes after so many."""

    status: int = 200
    body: bytes = b'{"data": [], "has_more": false}'
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    pause: float = 0.0
    cut: int | None = None
    reset: bool = False


@dataclass(frozen=True)
class Seen:
    """One request: its line, its headers, and when it came."""

    target: str
    headers: dict[str, str]
    at: float


class Provider:
    """Answers with `script` in order; the last reply stays."""

    def __init__(self, script: Sequence[Reply]) -> None:
        self.script = list(script)
        self.seen: list[Seen] = []
        self.url = ""

    def choose(self, seen: Seen) -> Reply:
        del seen
        return self.script[min(len(self.seen), len(self.script)) - 1]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._answer_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        await reader.readexactly(int(headers.get("content-length", 0)))
        self.seen.append(Seen(head[0].split(" ")[1], headers, time.monotonic()))
        reply = self.choose(self.seen[-1])
        await _write(writer, reply)
        return reply.cut is None and not reply.reset


async def _write(writer: asyncio.StreamWriter, reply: Reply) -> None:
    headers = {"Content-Type": "application/json", **reply.headers}
    headers["Content-Length"] = str(len(reply.body) if reply.length is None else reply.length)
    lines = [f"HTTP/1.1 {reply.status} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
    if reply.reset:
        writer.transport.abort()
        return
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    body = reply.body[: reply.cut]
    for part in [body[at : at + 1] for at in range(len(body))] if reply.pause else [body]:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(reply.pause)


def page(rows: Sequence[object] = (), **members: object) -> bytes:
    return json.dumps({"data": list(rows), **members}).encode()


def gzipped(body: bytes) -> Reply:
    return Reply(body=gzip.compress(body), headers={"Content-Encoding": "gzip"})


def failing(status: int, message: str = "try later", **headers: str) -> Reply:
    body = json.dumps({"error": {"message": message, "type": "t", "param": None, "code": None}}).encode()
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.fixture
async def listen() -> AsyncIterator[Callable[[Provider], Awaitable[None]]]:
    """`await listen(provider)` puts it on a free port."""
    servers: list[asyncio.Server] = []

    async def start(provider: Provider) -> None:
        servers.append(await asyncio.start_server(provider.answer, "127.0.0.1", 0))
        provider.url = f"http://127.0.0.1:{servers[-1].sockets[0].getsockname()[1]}/v1"

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def serve(listen: Callable[[Provider], Awaitable[None]]) -> Callable[[Sequence[Reply]], Awaitable[Provider]]:
    """`await serve([Reply(...), ...])` starts a provider with a script."""

    async def start(script: Sequence[Reply]) -> Provider:
        provider = Provider(script)
        await listen(provider)
        return provider

    return start


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., HttpPool]]:
    """`connect(provider, breaker_failures=99)` opens a pool to it with a swift policy."""
    pools: list[HttpPool] = []

    def open_pool(provider: Provider, *, production: bool = False, **policy: object) -> HttpPool:
        swift = replace(SWIFT, **policy)
        pool = HttpPool(base_urls={"openai": provider.url}, clock=SystemClock(), production=production, policy=swift)
        pools.append(pool)
        return pool

    yield open_pool
    for pool in pools:
        await pool.close()
