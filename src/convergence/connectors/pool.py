"""The process's connections to providers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Collection, Mapping
from functools import cache
from types import TracebackType
from typing import Self

import httpx2

from convergence.connectors.addresses import check_base_url, checked_transport
from convergence.connectors.archive import PageArchive
from convergence.connectors.auth import HeaderAuth
from convergence.connectors.breaker import Outage
from convergence.connectors.client import ProviderClient
from convergence.connectors.lanes import Lane
from convergence.connectors.pacing import MinuteLimit, MinutePace
from convergence.connectors.policy import HttpPolicy
from convergence.errors import ConfigError, Fault
from convergence.kit.clock import Clock

USER_AGENT = "convergence/0.1"
_MOST_LANES = 4_096


class HttpPool:
    """Connections and memory of failures, shared by every run of the process."""

    def __init__(
        self,
        *,
        base_urls: Mapping[str, str],
        clock: Clock,
        archive: PageArchive | None = None,
        production: bool = False,
        user_agent: str = USER_AGENT,
        policy: HttpPolicy = HttpPolicy(),  # noqa: B008 (frozen)
    ) -> None:
        self.policy = policy
        self.clock = clock
        self.archive = archive
        self._production = production
        self._user_agent = user_agent
        self._base_urls = {name: check_base_url(name, url, production=production) for name, url in base_urls.items()}
        self._clients: dict[str, httpx2.AsyncClient] = {}
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._outages: dict[str, Outage] = {}
        self._lanes: dict[tuple[str, str, bytes], Lane] = {}
        self._paces: dict[tuple[str, str, bytes, str], MinutePace] = {}

    def client(
        self,
        org_slug: str,
        provider: str,
        auth: HeaderAuth,
        *,
        requests_per_second: float | None = None,
        minute_limit: MinuteLimit | None = None,
        base_url: str | None = None,
        also_retryable: Collection[int] = (),
    ) -> ProviderClient:
        """A client that speaks for one organization. Its breaker and pace are shared by every client that shows the
        same credential: a new key starts afresh, and no key slows down another.

        With a `minute_limit` a 429 that names no time to come back waits for the next minute. `base_url` is for a
        provider that the settings do not know; `also_retryable` are statuses by which this one says that it is busy.

        Raises:
            ConfigError: a provider without a base URL, or one that cannot be used.
        """
        found = self._find_base_url(provider, base_url)
        lane = self._lane(org_slug, provider, auth)
        lane.set_rate(requests_per_second)
        pace = None if minute_limit is None else self._pace((org_slug, provider, auth.identity), minute_limit)
        return ProviderClient(self, lane, auth, found, pace, frozenset(also_retryable))

    def base_url(self, provider: str) -> str | None:
        """The URL that stands for the provider's own, for whom a client library of its own asks."""
        return self._base_urls.get(provider)

    def http(self, provider: str) -> httpx2.AsyncClient:
        """The provider's connections, opened at first use."""
        if provider not in self._clients:
            self._clients[provider] = self._open()
        return self._clients[provider]

    def slots(self, provider: str) -> asyncio.Semaphore:
        """How many requests may be out at a provider at a time, over all organizations."""
        if provider not in self._slots:
            self._slots[provider] = asyncio.Semaphore(self.policy.provider_concurrency)
        return self._slots[provider]

    async def close(self) -> None:
        clients = list(self._clients.values())
        self._clients.clear()
        for client in clients:
            await client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _find_base_url(self, provider: str, given: str | None) -> str:
        if given is not None:
            return check_base_url(provider, given, production=self._production)
        if provider not in self._base_urls:
            raise ConfigError(
                Fault(f"no base URL for provider {provider!r}", expected=f"one of {', '.join(sorted(self._base_urls))}")
            )
        return self._base_urls[provider]

    def _lane(self, org_slug: str, provider: str, auth: HeaderAuth) -> Lane:
        key = (org_slug, provider, auth.identity)
        lane = self._lanes.pop(key, None) or Lane(org_slug, provider, self.policy, self.clock, self._outage(provider))
        self._lanes[key] = lane
        while len(self._lanes) > _MOST_LANES:
            del self._lanes[next(iter(self._lanes))]
        return lane

    def _pace(self, whose: tuple[str, str, bytes], limit: MinuteLimit) -> MinutePace:
        key = (*whose, limit.name)
        pace = self._paces[key] = self._paces.pop(key, MinutePace(self.clock, limit.requests))
        pace.limit = limit.requests
        while len(self._paces) > _MOST_LANES:
            del self._paces[next(iter(self._paces))]
        return pace

    def _outage(self, provider: str) -> Outage:
        policy = self.policy
        if provider not in self._outages:
            self._outages[provider] = Outage(
                lambda: self.clock.now().timestamp(),
                calls=policy.outage_calls,
                share=policy.outage_share,
                window_seconds=policy.outage_window,
                open_seconds=policy.outage_open,
            )
        return self._outages[provider]

    def _open(self) -> httpx2.AsyncClient:
        policy = self.policy
        limits = httpx2.Limits(max_connections=32, max_keepalive_connections=16, keepalive_expiry=30)
        return httpx2.AsyncClient(
            transport=checked_transport(limits, _tls(), production=self._production),
            timeout=httpx2.Timeout(
                connect=policy.connect_timeout,
                read=policy.read_timeout,
                write=policy.write_timeout,
                pool=policy.pool_timeout,
            ),
            headers={"User-Agent": self._user_agent, "Accept": "application/json", "Accept-Encoding": "gzip"},
            follow_redirects=False,
            trust_env=False,
        )


@cache
def _tls() -> ssl.SSLContext:
    """One for the process: loading the certificates takes a tenth of a second."""
    return httpx2.create_ssl_context(trust_env=False)
