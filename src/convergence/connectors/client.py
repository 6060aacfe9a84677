"""The way out to providers: one pool per process, one client per organization and provider."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx2
import stamina
import structlog
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from convergence.connectors.addresses import AddressRefused, check_base_url, checked_transport
from convergence.connectors.archive import ArchiveKey, PageArchive
from convergence.connectors.auth import HeaderAuth
from convergence.connectors.bodies import read_body
from convergence.connectors.lanes import Lane
from convergence.connectors.pages import Envelope, Page, Params, read_envelope
from convergence.connectors.paginators import Paginator
from convergence.connectors.policy import MIB, HttpPolicy
from convergence.connectors.verdicts import judge_content, judge_status
from convergence.errors import (
    ConfigError,
    ConvergenceError,
    Fault,
    InvalidRequest,
    ProviderMisbehaved,
    ProviderRejected,
    ProviderUnavailable,
)
from convergence.kit.clock import Clock
from convergence.kit.ids import new_id
from convergence.kit.metrics import PROVIDER_REQUESTS, PROVIDER_SECONDS, status_class

_LOG = structlog.get_logger("convergence.connectors")
_TRACER = trace.get_tracer("convergence")
USER_AGENT = "convergence/0.1"


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
        self._lanes: dict[tuple[str, str], Lane] = {}

    def client(
        self, org_slug: str, provider: str, auth: HeaderAuth, *, requests_per_second: float | None = None
    ) -> ProviderClient:
        """A client that speaks for one organization. Its breaker and pace are those of every other for the two.

        Raises:
            ConfigError: a provider without a base URL.
        """
        if provider not in self._base_urls:
            raise ConfigError(
                Fault(f"no base URL for provider {provider!r}", expected=f"one of {', '.join(sorted(self._base_urls))}")
            )
        lane = self._lanes.get((org_slug, provider))
        if lane is None:
            lane = Lane(org_slug, provider, self.policy, self.clock, requests_per_second)
            self._lanes[org_slug, provider] = lane
        lane.set_rate(requests_per_second)
        return ProviderClient(self, lane, auth)

    def http(self, provider: str) -> httpx2.AsyncClient:
        """The provider's connections, opened at first use."""
        if provider not in self._clients:
            self._clients[provider] = self._open(provider)
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

    def _open(self, provider: str) -> httpx2.AsyncClient:
        policy = self.policy
        limits = httpx2.Limits(max_connections=32, max_keepalive_connections=16, keepalive_expiry=30)
        return httpx2.AsyncClient(
            base_url=self._base_urls[provider],
            transport=checked_transport(limits, production=self._production),
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


class ProviderClient:
    """Requests of one organization to one provider."""

    def __init__(self, pool: HttpPool, lane: Lane, auth: HeaderAuth) -> None:
        self._pool = pool
        self._lane = lane
        self._auth = auth
        self._policy = pool.policy

    def __repr__(self) -> str:
        return f"<client of {self._lane.provider} for {self._lane.org_slug}>"

    async def get(
        self, path: str, params: Params = (), *, path_values: Mapping[str, str] | None = None, number: int = 1
    ) -> Page:
        """Read one page. `path` may hold `{name}` places for `path_values`; logs show the places, not the values.

        Raises:
            ProviderUnavailable: it failed after all tries, asks for a long pause, or is left alone for now.
            ProviderRejected: 401 (credential_invalid), 403 (credential_scope), another 4xx, or a redirect.
            ProviderMisbehaved: an answer that is not what was promised.
            TooLarge: the page is above the cap (page_too_large).
        """
        return await self._send("GET", path, params, path_values or {}, None, number)

    async def post(
        self,
        path: str,
        json: Mapping[str, Any],
        params: Params = (),
        *,
        path_values: Mapping[str, str] | None = None,
        number: int = 1,
    ) -> Page:
        """Send a query as a JSON body. It is retried as a GET is, so use it for reading only.

        Raises:
            as `get`.
        """
        return await self._send("POST", path, params, path_values or {}, json, number)

    async def pages(
        self,
        path: str,
        params: Params,
        paginator: Paginator,
        *,
        stream: str,
        window: str = "all",
        load_id: str | None = None,
        path_values: Mapping[str, str] | None = None,
        max_pages: int = 10_000,
    ) -> AsyncIterator[Page]:
        """Every page from the first to the last, each kept in the archive before it is yielded.

        `stream`, `window` and `load_id` name the fetch in the archive; a missing `load_id` is a new one.

        Raises:
            ProviderMisbehaved: pagination_loop: a repeated request, the same page again, or more than `max_pages`.
        """
        key = ArchiveKey(self._lane.org_slug, self._lane.provider, stream, window, load_id or new_id("load"))
        guard = LoopGuard(max_pages)
        wanted: Params | None = tuple(params)
        while wanted is not None:
            number = guard.enter(wanted)
            page = await self.get(path, wanted, path_values=path_values, number=number)
            await self._keep(key, page)
            wanted = paginator.next(wanted, page.envelope, page.headers)
            if wanted is not None:
                guard.leave(await _digest(page.body))
            yield page

    async def _keep(self, key: ArchiveKey, page: Page) -> None:
        if self._pool.archive is None:
            return
        try:
            await self._pool.archive.write(key, page)
        except OSError as error:
            # The archive serves replays; a full disk there must not cost the day's data.
            _LOG.warning("page_not_archived", org=key.org_slug, provider=key.provider, error=type(error).__name__)

    async def _send(  # noqa: PLR0917 (private; one caller per method)
        self,
        method: str,
        path: str,
        params: Params,
        path_values: Mapping[str, str],
        json: Mapping[str, Any] | None,
        number: int,
    ) -> Page:
        call = _Call(method, path, _fill(path, path_values), tuple(params), json, number)
        patience = _Patience(self._lane, self._policy)
        try:
            return await self._retry(call, patience)
        except ProviderUnavailable as error:
            if patience.needs_action(error):
                raise _exhausted(error) from error
            raise

    async def _retry(self, call: _Call, patience: _Patience) -> Page:
        async for attempt in stamina.retry_context(
            on=patience.judge, attempts=self._policy.attempts, timeout=self._policy.deadline
        ):
            with attempt:
                return await self._attempt(call, patience, attempt.num)
        raise AssertionError("stamina ends with a result or an error")  # pragma: no cover

    async def _attempt(self, call: _Call, patience: _Patience, number: int) -> Page:
        lane = self._lane
        await lane.wait_turn(patience.left())
        async with lane.slots, self._pool.slots(lane.provider):
            lane.check_breaker()
            lane.breaker.enter()
            try:
                page = await self._observe(call, patience, number)
            except ConvergenceError as error:
                _record(lane, error)
                raise
            finally:
                lane.breaker.leave()
        lane.breaker.succeed()
        lane.budget.earn()
        return page

    async def _observe(self, call: _Call, patience: _Patience, attempt: int) -> Page:
        """One attempt with its span and its log line."""
        lane, started, outcome = self._lane, time.perf_counter(), _Outcome()
        attributes: dict[str, str | int] = {
            "http.request.method": call.method,
            "url.template": call.template,
            "http.request.resend_count": attempt - 1,
            "convergence.org": lane.org_slug,
            "convergence.provider": lane.provider,
        }
        with _TRACER.start_as_current_span("provider.request", kind=SpanKind.CLIENT, attributes=attributes) as span:
            try:
                return await self._exchange(call, patience, outcome)
            except ConvergenceError as error:
                outcome.error = error.code
                raise
            finally:
                span.set_attribute("http.response.status_code", outcome.status)
                span.set_attribute("http.response.body.size", outcome.size)
                self._log(call, attempt, outcome, time.perf_counter() - started)

    def _log(self, call: _Call, attempt: int, outcome: _Outcome, seconds: float) -> None:
        PROVIDER_REQUESTS.labels(self._lane.provider, status_class(outcome.status)).inc()
        PROVIDER_SECONDS.labels(self._lane.provider).observe(seconds)
        level = _LOG.info if outcome.error is None else _LOG.warning
        level(
            "provider_request",
            org=self._lane.org_slug,
            provider=self._lane.provider,
            method=call.method,
            path=call.template,
            status=outcome.status,
            error=outcome.error,
            ms=round(seconds * 1000),
            bytes=outcome.size,
            attempt=attempt,
            provider_request_id=outcome.request_id,
        )

    async def _exchange(self, call: _Call, patience: _Patience, outcome: _Outcome) -> Page:
        """One request and its whole answer, with every transport error made ours."""
        provider = self._lane.provider
        try:
            async with asyncio.timeout(patience.left()):
                return await self._receive(call, outcome)
        except TimeoutError as error:
            raise ProviderUnavailable(f"{provider} did not finish in time", code="provider_timeout") from error
        except httpx2.TimeoutException as error:
            raise ProviderUnavailable(
                f"{provider} did not answer in time ({type(error).__name__})", code="provider_timeout"
            ) from None
        except httpx2.HTTPError as error:
            raise ProviderUnavailable(
                f"the connection to {provider} failed ({type(error).__name__})", code="provider_unreachable"
            ) from None
        except (AddressRefused, httpx2.InvalidURL) as error:
            raise ProviderRejected(
                f"{provider}: {error}",
                code="address_refused",
                hint="Correct the provider's base URL; private addresses are refused in production, link-local always.",
            ) from None

    async def _receive(self, call: _Call, outcome: _Outcome) -> Page:
        client, policy = self._pool.http(self._lane.provider), self._policy
        async with client.stream(
            call.method, call.path, params=list(call.params), json=call.json, auth=self._auth
        ) as response:
            outcome.status = response.status_code
            outcome.request_id = response.headers.get("x-request-id", "")[:100]
            cap = policy.max_body_bytes if response.is_success else policy.max_error_bytes
            headers = dict(response.headers)
            body = await self._read(response, cap)
            outcome.size = len(body)
        self._check(response.status_code, headers, body)
        return Page(call.number, response.status_code, headers, body, call.params, await _open_envelope(body))

    async def _read(self, response: httpx2.Response, cap: int) -> bytes:
        encoding = response.headers.get("content-encoding", "")
        if response.is_success:
            return await read_body(response.aiter_raw(), encoding, cap)
        try:
            return await read_body(response.aiter_raw(), encoding, cap)
        except (ConvergenceError, httpx2.HTTPError):
            return b""  # the status says enough

    def _check(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        now = self._pool.clock.now()
        error = judge_status(self._lane.provider, status, headers, body, now=now, hide=self._auth.hide)
        error = error or judge_content(self._lane.provider, headers)
        if error is not None:
            raise error


class LoopGuard:
    """Refuses a list that does not end: a request made before, a page seen before, or too many pages."""

    def __init__(self, max_pages: int) -> None:
        self._max_pages = max_pages
        self._requests: set[tuple[tuple[str, str], ...]] = set()
        self._digests: set[bytes] = set()

    def enter(self, params: Params) -> int:
        """The number of the page to fetch now, from 1."""
        request = tuple(params)
        if request in self._requests:
            raise _endless("it names a page that was fetched before")
        if len(self._requests) >= self._max_pages:
            raise _endless(f"it has more than {self._max_pages} pages")
        self._requests.add(request)
        return len(self._requests)

    def leave(self, digest: bytes) -> None:
        """Take note of a page that has another behind it."""
        if digest in self._digests:
            raise _endless("the same page came twice")
        self._digests.add(digest)


@dataclass(frozen=True, slots=True)
class _Call:
    """One request, with the template of its path for what is shown."""

    method: str
    template: str
    path: str
    params: tuple[tuple[str, str], ...]
    json: Mapping[str, Any] | None
    number: int


class _Outcome:
    """What one attempt came to, for its span and log line."""

    __slots__ = ("error", "request_id", "size", "status")

    def __init__(self) -> None:
        self.status, self.size, self.request_id = 0, 0, ""
        self.error: str | None = None


class _Patience:
    """Decides, after a failure, whether to try again and how long to wait: within the deadline, or not at all."""

    def __init__(self, lane: Lane, policy: HttpPolicy) -> None:
        self._lane = lane
        self._policy = policy
        self._ends = time.monotonic() + policy.deadline
        self._failures = 0
        self._odd_contents = 0

    def left(self) -> float:
        return max(0.0, self._ends - time.monotonic())

    def judge(self, error: Exception) -> bool | float:
        """What stamina asks: the seconds to wait, or False to give up."""
        self._failures += 1
        if not self._is_worth_it(error) or self._has_asked_enough(error):
            return False
        wait = self._wait(error)
        if wait is None or wait >= self.left():
            return False
        asked = isinstance(error, ProviderUnavailable) and error.retry_after is not None
        return wait if asked or self._lane.budget.spend() else False

    def _is_worth_it(self, error: Exception) -> bool:
        match error:
            case ProviderMisbehaved(code="content_type_unexpected"):
                self._odd_contents += 1
                return self._odd_contents == 1
            case ProviderUnavailable(code="breaker_open" | "provider_paused"):
                return False
            case ProviderUnavailable():
                return True
            case _:
                return False

    def needs_action(self, error: Exception) -> bool:
        """Whether it is a 429 that no waiting cures, such as an exhausted quota: those name no time to come back."""
        if not isinstance(error, ProviderUnavailable) or error.retry_after is not None:
            return False
        said = {error.fields.get("code"), error.fields.get("type")}
        return error.fields.get("status") == 429 and not said.isdisjoint(self._policy.user_action_codes)

    def _has_asked_enough(self, error: Exception) -> bool:
        return self.needs_action(error) and self._failures >= self._policy.user_action_attempts

    def _wait(self, error: Exception) -> float | None:
        asked = error.retry_after if isinstance(error, ProviderUnavailable) else None
        if asked is not None:
            return asked if asked <= self._policy.retry_after_cap else None
        ceiling = min(self._policy.backoff_cap, self._policy.backoff_base * 2 ** (self._failures - 1))
        return random.uniform(0, ceiling)  # noqa: S311 (jitter, not a secret)


def _record(lane: Lane, error: ConvergenceError) -> None:
    """What a failure teaches about the provider. Rate limits and refused parameters say nothing of its health."""
    match error:
        case ProviderUnavailable(code="provider_rate_limited"):
            lane.hold(error.retry_after or 0.0)
        case ProviderUnavailable():
            lane.hold(error.retry_after or 0.0)
            lane.breaker.fail()
        case ProviderRejected(status=401 | 403):
            lane.breaker.fail()
        case ProviderRejected():
            lane.breaker.succeed()


def _exhausted(error: ProviderUnavailable) -> ProviderRejected:
    return ProviderRejected(
        error.message,
        status=429,
        code="provider_quota_exhausted",
        hint="The account at the provider has used up its quota or its credit; raise it there.",
        fields=error.fields,
    )


def _fill(template: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        if value in ("", ".", ".."):
            raise InvalidRequest(f"{value!r} cannot stand for {{{name}}} in {template}")
        template = template.replace(f"{{{name}}}", quote(value, safe=""))
    return template


def _endless(what: str) -> ProviderMisbehaved:
    return ProviderMisbehaved(
        f"the list does not end: {what}",
        code="pagination_loop",
        hint="Nothing was published. Run it again; if it stays, report it to the provider.",
    )


async def _digest(body: bytes) -> bytes:
    if len(body) < MIB:
        return hashlib.blake2b(body, digest_size=16).digest()
    return await asyncio.to_thread(lambda: hashlib.blake2b(body, digest_size=16).digest())


async def _open_envelope(body: bytes) -> Envelope:
    return read_envelope(body) if len(body) < MIB else await asyncio.to_thread(read_envelope, body)
