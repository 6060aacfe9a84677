"""Requests of one organization to one provider."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx2
import stamina
import structlog
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from stamina.instrumentation import set_on_retry_hooks

from convergence.connectors.addresses import AddressRefused
from convergence.connectors.archive import ArchiveKey
from convergence.connectors.auth import HeaderAuth
from convergence.connectors.bodies import read_body
from convergence.connectors.lanes import Lane
from convergence.connectors.loops import LoopGuard
from convergence.connectors.pacing import MinutePace
from convergence.connectors.pages import Envelope, Page, Params, read_envelope
from convergence.connectors.paginators import Paginator
from convergence.connectors.patience import Patience, quota_exhausted
from convergence.connectors.policy import MIB
from convergence.connectors.verdicts import judge_content, judge_status
from convergence.errors import (
    ConvergenceError,
    InvalidRequest,
    ProviderRejected,
    ProviderUnavailable,
)
from convergence.kit.ids import new_id
from convergence.kit.metrics import PROVIDER_REQUESTS, PROVIDER_SECONDS, status_class

if TYPE_CHECKING:
    from convergence.connectors.pool import HttpPool

_LOG = structlog.get_logger("convergence.connectors")
set_on_retry_hooks(())  # every attempt has a line, a span and a count of ours
_TRACER = trace.get_tracer("convergence")
_MINUTES_WAITED = 3


class ProviderClient:
    """Made by `HttpPool.client`."""

    def __init__(
        self,
        pool: HttpPool,
        lane: Lane,
        auth: HeaderAuth,
        base_url: str,
        pace: MinutePace | None = None,
        also_retryable: frozenset[int] = frozenset(),
    ) -> None:
        self._pool = pool
        self._lane = lane
        self._auth = auth
        self._base_url = base_url
        self._policy = pool.policy
        self._pace = pace
        self._also_retryable = also_retryable

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
        body: Callable[[Params], Mapping[str, Any]] | Mapping[str, Any] | None = None,
        query: Params = (),
    ) -> AsyncIterator[Page]:
        """Every page from the first to the last, each kept in the archive before it is yielded.

        `stream`, `window` and `load_id` name the fetch in the archive; a missing `load_id` is a new one. With `body`
        the parameters are posted as the JSON that it makes of them, and `query` stands beside them in the address; a
        `body` that is there already is posted as it is, with the parameters in the address.

        Raises:
            ProviderMisbehaved: pagination_loop: a repeated request, the same page again, or more than `max_pages`.
        """
        key = ArchiveKey(self._lane.org_slug, self._lane.provider, stream, window, load_id or new_id("load"))
        guard = LoopGuard(max_pages)
        wanted: Params | None = tuple(params)
        while wanted is not None:
            number = guard.enter(wanted)
            if body is None:
                page = await self.get(path, wanted, path_values=path_values, number=number)
            elif callable(body):
                page = await self.post(path, body(wanted), query, path_values=path_values, number=number)
                page = replace(page, params=tuple(wanted))
            else:
                page = await self.post(path, body, wanted, path_values=path_values, number=number)
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

    async def _send(
        self,
        method: str,
        path: str,
        params: Params,
        path_values: Mapping[str, str],
        json: Mapping[str, Any] | None,
        number: int,
    ) -> Page:
        call = _Call(method, path, _fill(path, path_values), tuple(params), json, number)
        return await (self._try(call) if self._pace is None else self._try_by_the_minute(call, self._pace))

    async def _try_by_the_minute(self, call: _Call, pace: MinutePace) -> Page:
        for _ in range(_MINUTES_WAITED):
            await pace.wait_turn()
            try:
                return await self._try(call)
            except ProviderUnavailable as error:
                if error.code != "provider_rate_limited" or error.retry_after is not None:
                    raise
            await pace.wait_for_next_minute()
        await pace.wait_turn()
        return await self._try(call)

    async def _try(self, call: _Call) -> Page:
        patience = Patience(self._lane, self._policy, guesses_pauses=self._pace is None)
        try:
            return await self._retry(call, patience)
        except ProviderUnavailable as error:
            if patience.needs_action(error):
                raise quota_exhausted(error) from error
            raise

    async def _retry(self, call: _Call, patience: Patience) -> Page:
        async for attempt in stamina.retry_context(
            on=patience.judge, attempts=self._policy.attempts, timeout=self._policy.deadline
        ):
            with attempt:
                return await self._attempt(call, patience, attempt.num)
        raise AssertionError("stamina ends with a result or an error")  # pragma: no cover

    async def _attempt(self, call: _Call, patience: Patience, number: int) -> Page:
        lane = self._lane
        async with self._turn(patience):
            lane.breaker.enter()
            try:
                page = await self._observe(call, patience, number)
            except ConvergenceError as error:
                _record(lane, error)
                raise
            finally:
                lane.breaker.leave()
        lane.succeed()
        lane.budget.earn()
        return page

    @asynccontextmanager
    async def _turn(self, patience: Patience) -> AsyncIterator[None]:
        """A slot while the provider takes requests: it may have asked for a pause while this one waited for a slot."""
        lane = self._lane
        while True:
            await lane.wait_turn(patience.left())
            async with lane.slots, self._pool.slots(lane.provider):
                if lane.quiet_for():
                    continue
                lane.check_breaker()
                yield
                return

    async def _observe(self, call: _Call, patience: Patience, attempt: int) -> Page:
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

    async def _exchange(self, call: _Call, patience: Patience, outcome: _Outcome) -> Page:
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
            call.method, self._base_url + call.path, params=list(call.params), json=call.json, auth=self._auth
        ) as response:
            outcome.status = response.status_code
            outcome.request_id = _request_id(response.headers)
            cap = policy.max_body_bytes if response.is_success else policy.max_error_bytes
            headers = dict(response.headers)
            body = await self._read(response, cap)
            outcome.size = len(body)
        self._check(response.status_code, headers, body)
        return Page(call.number, response.status_code, headers, body, call.params, await _open_envelope(body))

    async def _read(self, response: httpx2.Response, cap: int) -> bytes:
        try:
            # Closed here also when the body is refused: the garbage collector may run in any thread.
            async with aclosing(response.aiter_raw()) as chunks:
                return await read_body(chunks, response.headers.get("content-encoding", ""), cap)
        except (ConvergenceError, httpx2.HTTPError):
            if response.is_success:
                raise
            return b""  # the status says enough

    def _check(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        now = self._pool.clock.now()
        provider, hide, also = self._lane.provider, self._auth.hide, self._also_retryable
        error = judge_status(provider, status, headers, body, now=now, hide=hide, also_retryable=also)
        error = error or judge_content(provider, headers)
        if error is not None:
            raise error


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


def _request_id(headers: Mapping[str, str]) -> str:
    """What the provider's support asks for: x-request-id, or request-id at Anthropic."""
    return (headers.get("x-request-id") or headers.get("request-id") or "")[:100]


def _record(lane: Lane, error: ConvergenceError) -> None:
    """What a failure teaches about the provider. Rate limits and refused parameters say nothing of its health."""
    match error:
        case ProviderUnavailable(code="provider_rate_limited"):
            lane.hold(error.retry_after or 0.0)
        case ProviderUnavailable():
            lane.hold(error.retry_after or 0.0)
            lane.fail(None)
        case ProviderRejected(status=401 | 403):
            lane.fail(error)
        case ProviderRejected():
            lane.succeed()


def _fill(template: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        if value in ("", ".", ".."):
            raise InvalidRequest(f"{value!r} cannot stand for {{{name}}} in {template}")
        template = template.replace(f"{{{name}}}", quote(value, safe=""))
    return template


async def _digest(body: bytes) -> bytes:
    if len(body) < MIB:
        return hashlib.blake2b(body, digest_size=16).digest()
    return await asyncio.to_thread(lambda: hashlib.blake2b(body, digest_size=16).digest())


async def _open_envelope(body: bytes) -> Envelope:
    return read_envelope(body) if len(body) < MIB else await asyncio.to_thread(read_envelope, body)
