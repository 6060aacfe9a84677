"""The queue of many processes: a Redis server."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from datetime import timedelta
from typing import Final

import msgspec

from convergence.errors import StoreUnavailable
from convergence.queue import redis_scripts as scripts
from convergence.queue.protocol import Message
from convergence.state.redis_server import RedisServer

_LISTEN: Final = timedelta(seconds=1)  # at most, so that a bell that a dying worker took costs no longer than this
_MICROSECOND: Final = timedelta(microseconds=1)
_CONNECTIONS: Final = 256  # a waiting claim holds one


class RedisQueue:
    """A PullQueue for any number of processes. Every move is one script; times are the server's.

    A claimed message comes again after `visibility` unless it was extended, done or retried. Idle workers block on a
    list. What the server loses is announced again by the sweeper.
    """

    def __init__(self, url: str, *, prefix: str, visibility: timedelta) -> None:
        """
        Raises:
            ConfigError: no address of a Redis.
        """
        self._server = RedisServer(url, what="queue", connections=_CONNECTIONS)
        self._visibility = visibility
        # In braces, so that a cluster keeps all keys in one place, which scripts need.
        parts = ("turns", "waiting", "delayed", "claims", "claimed", "bell", "ready:")
        self._keys = [f"{{{prefix}}}:queue:{part}" for part in parts]
        self._bell = self._keys[parts.index("bell")]
        self._put = self._server.script(scripts.PUT)
        self._claim = self._server.script(scripts.CLAIM)
        self._extend = self._server.script(scripts.EXTEND)
        self._done = self._server.script(scripts.DONE)
        self._retry = self._server.script(scripts.RETRY)
        self._closing = asyncio.Event()

    async def put(self, message: Message, /, *, delay: timedelta = timedelta()) -> None:
        await self._put(self._keys, (_encode(message), _micros(delay)))

    async def claim(self, /, *, wait: timedelta) -> Message | None:
        self._server.refuse_closed()
        try:
            return await self._await_message(_now() + wait.total_seconds())
        except StoreUnavailable:
            if self._closing.is_set():
                return None
            raise

    async def extend(self, message: Message, /) -> None:
        if not self._closing.is_set():
            await self._extend(self._keys, (message.receipt, _micros(self._visibility)))

    async def done(self, message: Message, /) -> None:
        if not self._closing.is_set():
            await self._done(self._keys, (message.receipt,))

    async def retry(self, message: Message, /, *, delay: timedelta) -> None:
        """A claim that has run out is left alone: its message is on its way again already."""
        if not self._closing.is_set():
            following = replace(message, attempt=message.attempt + 1)
            await self._retry(self._keys, (message.receipt, _encode(following), _micros(delay)))

    async def ping(self) -> None:
        await self._server.ping()

    async def close(self) -> None:
        """Waiting claims return None at once."""
        self._closing.set()
        await self._server.close()

    async def _await_message(self, deadline: float) -> Message | None:
        while not self._closing.is_set():
            message, pause = await self._take()
            if message is not None:
                return message
            seconds = min(pause.total_seconds(), deadline - _now())
            if _now() >= deadline:
                return None
            await self._listen(max(seconds, 0.001))
        return None

    async def _take(self) -> tuple[Message | None, timedelta]:
        """A message, or how long nothing will become due by itself."""
        receipt = secrets.token_hex(12)
        text, pause = await self._claim(self._keys, (receipt, _micros(self._visibility)))
        if text:
            return _decode(text, receipt), timedelta()
        return None, _LISTEN if pause < 0 else min(_LISTEN, pause * _MICROSECOND)

    async def _listen(self, seconds: float) -> None:
        """Wait for the bell, or for the end."""
        bell = asyncio.create_task(self._server.pop(self._bell, seconds=seconds))
        closing = asyncio.create_task(self._closing.wait())
        try:
            await asyncio.wait({bell, closing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            closing.cancel()
            bell.cancel()
            outcomes = await asyncio.gather(bell, closing, return_exceptions=True)
        if isinstance(outcomes[0], StoreUnavailable):
            raise outcomes[0]


def _encode(message: Message) -> bytes:
    return msgspec.json.encode((message.org_slug, message.run_id, message.attempt))


def _decode(text: bytes, receipt: str) -> Message:
    org_slug, run_id, attempt = msgspec.json.decode(text, type=tuple[str, str, int])
    return Message(org_slug, run_id, attempt, receipt)


def _micros(duration: timedelta) -> int:
    return duration // _MICROSECOND


def _now() -> float:
    return asyncio.get_running_loop().time()
