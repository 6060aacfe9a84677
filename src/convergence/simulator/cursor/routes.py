"""The endpoints: who may ask, how often, and what is answered."""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from convergence.simulator.account import Account
from convergence.simulator.cursor import pages
from convergence.simulator.cursor.refusals import (
    Refusal,
    error_body,
    no_permission,
    not_found,
    too_many,
    wrong_key,
)
from convergence.simulator.cursor.requests import read_body, read_paging, read_range
from convergence.simulator.cursor.world import CursorWorld
from convergence.simulator.simulator import Simulator

ADMIN_SCOPE = "admin:*"
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_RANGE = ("startDate", "endDate", "page", "pageSize")
_FILTERS = ("email", "serviceAccountId")
_SPEND = ("searchTerm", "sortBy", "sortDirection", "page", "pageSize")
_REQUESTS_A_MINUTE = {"filtered-usage-events": 60}
_MOST = 20
Answer = Callable[[Account[CursorWorld], bytes], bytes]


class CursorProvider:
    """The Admin API, as one package of the simulator."""

    name = "cursor"
    path = "/cursor"
    scopes = frozenset({ADMIN_SCOPE})

    def routes(self, simulator: Simulator) -> list[Route]:
        return _Endpoints(simulator).routes()

    def failure(self, status: int, message: str, _code: str | None, /) -> bytes:
        """The vendor's errors have no code."""
        return error_body(status, message)


class _Endpoints:
    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._asked: Counter[tuple[str, str, int]] = Counter()

    def routes(self) -> list[Route]:
        """Every endpoint, and the vendor's 404 for anything else."""
        answers: dict[str, tuple[str, Answer]] = {
            "members": ("GET", self._members),
            "filtered-usage-events": ("POST", self._events),
            "daily-usage-data": ("POST", self._daily_usage),
            "spend": ("POST", self._spend),
        }
        found = [self._route(f"/teams/{name}", name, *answer) for name, answer in answers.items()]
        return [*found, self._route("/{rest:path}", "", "", _unknown)]

    def _route(self, path: str, name: str, method: str, answer: Answer) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                account = self._account(request)
                if request.method != method:
                    raise not_found()
                self._count(account, name)
                body = await run_in_threadpool(answer, account, await request.body())
            except Refusal as refusal:
                return Response(refusal.body, refusal.status, media_type="application/json")
            return Response(body, media_type="application/json")

        return Route(path, endpoint, methods=_METHODS)

    def _account(self, request: Request) -> Account[CursorWorld]:
        account = self._simulator.account(CursorProvider.name, read_key(request.headers.get("authorization", "")))
        if account is None:
            raise wrong_key()
        if ADMIN_SCOPE not in account.scopes:
            raise no_permission()
        return account

    def _count(self, account: Account[CursorWorld], name: str) -> None:
        """Requests of a team are counted by the minute; the events have a count of their own."""
        minute = int(self._simulator.clock.now().timestamp()) // 60
        counted = account.key, name if name in _REQUESTS_A_MINUTE else "", minute
        self._asked[counted] += 1
        if account.world.limits_rates and self._asked[counted] > _REQUESTS_A_MINUTE.get(name, _MOST):
            raise too_many()

    def _members(self, account: Account[CursorWorld], _body: bytes) -> bytes:
        return pages.members_body(account.world, self._simulator.clock.now().date())

    def _events(self, account: Account[CursorWorld], text: bytes) -> bytes:
        body, now = read_body(text, (*_RANGE, *_FILTERS)), self._simulator.clock.now()
        period, wanted = read_range(body, now), (body.get("email"), body.get("serviceAccountId"))
        events = [
            event
            for event in account.world.events_between(*period, now)
            if wanted[0] in (None, event.origin.email) and wanted[1] in (None, event.origin.service_account_id)
        ]
        return pages.events_body(events, read_paging(body), period)

    def _daily_usage(self, account: Account[CursorWorld], text: bytes) -> bytes:
        body, now = read_body(text, _RANGE), self._simulator.clock.now()
        return pages.daily_usage_body(account.world, read_paging(body), read_range(body, now), now)

    def _spend(self, account: Account[CursorWorld], text: bytes) -> bytes:
        return pages.spend_body(account.world, read_paging(read_body(text, _SPEND)), self._simulator.clock.now())


def read_key(authorization: str) -> str:
    """The user name of HTTP Basic; nothing where the password is not empty."""
    kind, _, encoded = authorization.partition(" ")
    try:
        key, separator, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return key if kind.lower() == "basic" and separator and not password else ""


def _unknown(_account: Account[CursorWorld], _body: bytes) -> bytes:
    raise not_found()
