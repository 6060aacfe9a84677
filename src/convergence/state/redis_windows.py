"""Windows of requests that all processes of a deployment count together."""

from __future__ import annotations

from typing import Final

from limits.aio.storage import RedisStorage

from convergence.state.redis_server import open_client

_CONNECTIONS: Final = 16
_ANSWER_SECONDS: Final = 1.0  # every request waits for it


class RedisWindows(RedisStorage):
    """The storage of the `limits` library over a Redis; its faults arrive as limits.errors.StorageError."""

    STORAGE_SCHEME = None  # type: ignore[assignment]  # made by its constructor only, never found by an address

    def __init__(self, url: str, *, prefix: str) -> None:
        """
        Raises:
            ConfigError: no address of a Redis.
        """
        self._client = open_client(url, connections=_CONNECTIONS, answer_seconds=_ANSWER_SECONDS)
        super().__init__(
            "redis://",  # read by nobody: the pool knows the address
            wrap_exceptions=True,
            implementation="redispy",
            key_prefix=f"{prefix}:rate",
            connection_pool=self._client.connection_pool,  # type: ignore[arg-type]  # documented, not declared
        )

    async def close(self) -> None:
        await self._client.aclose()
