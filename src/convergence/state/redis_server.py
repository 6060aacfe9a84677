"""A Redis server: scripts that run as one step, and one table from the driver's errors to ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from convergence.errors import ConfigError, Fault, StoreUnavailable

if TYPE_CHECKING:
    from redis.asyncio import Redis

_CONNECT_SECONDS: Final = 3
_ANSWER_SECONDS: Final = 4  # below the patience of the readiness check, so that it can name what is down
_EXPECTED_URL: Final = "redis://[:password@]host[:port][/db], rediss://... or unix://path"

Value = str | bytes | int | float


class RedisServer:
    """Commands and scripts over a bounded pool of connections.

    Nothing is sent twice: a script whose answer was lost may have run, and only the caller knows whether running it
    again is harmless. A broken connection is replaced by the next call, so a restarted server is found by itself.
    """

    def __init__(self, url: str, *, what: str, connections: int = 16) -> None:
        """
        Raises:
            ConfigError: no address of a Redis, or the driver is not installed.
        """
        self._what = what
        self._client = open_client(url, connections=connections)
        self._place = _place(url)
        self._is_closed = False
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def script(self, text: str) -> Callable[..., Any]:
        """A callable of `keys` and `args` that runs the script on the server as one step."""
        registered = self._client.register_script(text)

        async def run(keys: Sequence[str], args: Sequence[Value] = ()) -> Any:
            return await self._call(lambda: registered(keys=keys, args=args))

        return run

    async def pop(self, key: str, *, seconds: float) -> None:
        """Wait until the list has an element and take it, for a while at most."""
        await self._call(lambda: self._client.blpop([key], timeout=seconds))

    async def ping(self) -> None:
        await self._call(self._client.ping)

    async def eviction_policy(self) -> str:
        """What a full server does, such as noeviction; nothing where it does not tell."""
        memory = await self._call(lambda: self._client.info("memory"))
        return str(memory.get("maxmemory_policy", ""))

    async def close(self) -> None:
        """Wait for the calls under way, whose connections the driver would pull away. Closing twice does nothing."""
        if not self._is_closed:
            self._is_closed = True
            await self._idle.wait()
            await self._client.aclose()

    def refuse_closed(self) -> None:
        if self._is_closed:
            raise StoreUnavailable(f"the {self._what} is closed")

    async def _call(self, command: Callable[[], Any]) -> Any:
        from redis.exceptions import RedisError

        self.refuse_closed()
        try:
            with self._counted():
                return await command()
        except (RedisError, OSError) as error:
            raise self._unavailable(error) from error

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._under_way += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        reason, hint = _explain(error)
        return StoreUnavailable(f"the {self._what} at {self._place} {reason}", hint=hint)


def open_client(url: str, *, connections: int, answer_seconds: float = _ANSWER_SECONDS) -> Redis:
    """A client that connects when it is first used, waits for no more than it is told, and sends nothing twice.

    Raises:
        ConfigError: no address of a Redis, or the driver is not installed.
    """
    try:
        from redis.asyncio import BlockingConnectionPool, Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError as error:
        fault = Fault("needs the Redis driver", key="REDIS_URL", expected="the extra convergence[redis]")
        raise ConfigError(fault, hint="pip install 'convergence[redis]'") from error
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=connections,
            timeout=answer_seconds,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=min(_CONNECT_SECONDS, answer_seconds),
            socket_timeout=answer_seconds,
        )
    except ValueError:
        # The driver quotes the address, which may hold a password.
        raise ConfigError(Fault("is no address of a Redis", key="REDIS_URL", expected=_EXPECTED_URL)) from None
    return Redis.from_pool(pool)


def _place(url: str) -> str:
    """The address without its secrets."""
    parts = urlsplit(url)  # the driver has read it: it is one
    return parts.path if parts.scheme == "unix" else f"{parts.hostname}:{parts.port or 6379}"


def _explain(error: Exception) -> tuple[str, str]:
    """What happened and what to do. The driver's own text is left out: it may quote what was sent."""
    from redis import exceptions as driver

    explanations: tuple[tuple[tuple[type[Exception], ...], str, str], ...] = (
        (
            (driver.AuthenticationError, driver.NoPermissionError),
            "refuses the user or the password",
            "Check both in REDIS_URL; the user needs EVALSHA, SCRIPT and all commands on the keys of its prefix.",
        ),
        ((driver.BusyLoadingError,), "still reads its data", "Wait until it has started."),
        ((driver.ReadOnlyError,), "takes no writes", "It is a replica: let REDIS_URL name the primary."),
        ((driver.OutOfMemoryError,), "is full", "Raise its maxmemory; nothing was written."),
        ((driver.TimeoutError,), f"does not answer within {_ANSWER_SECONDS} s", "Check its load and the network."),
        ((driver.ConnectionError, OSError), "cannot be reached", "Start it, or correct REDIS_URL."),
    )
    for kinds, reason, hint in explanations:
        if isinstance(error, kinds):
            return reason, hint
    return f"refuses the command: {_code(error)}", "Read the server's log: a full disk stops its writes as well."


def _code(error: Exception) -> str:
    """The first word of an error reply, such as MISCONF, where it is one."""
    word = str(error).partition(" ")[0]
    return word if word.isalpha() and word.isupper() else type(error).__name__
