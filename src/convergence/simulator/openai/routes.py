"""The routes of `/openai/v1`, each answered from the world that its key opens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from convergence.simulator.account import Account
from convergence.simulator.openai import lists
from convergence.simulator.openai.pages import COST_GROUPS, CostReport, UsageReport, page_body
from convergence.simulator.openai.refusals import (
    Refusal,
    bad_parameter,
    failure_body,
    invalid_url,
    missing_scope,
    no_key,
    wrong_key,
    wrong_kind_of_key,
    wrong_method,
)
from convergence.simulator.openai.requests import (
    COST_LIMITS,
    USAGE_LIMITS,
    ReportRequest,
    ReportRules,
    read_report_request,
)
from convergence.simulator.openai.streams import STREAMS, Stream
from convergence.simulator.openai.world import OpenAIWorld
from convergence.simulator.simulator import Simulator

USAGE_SCOPE = "api.usage.read"
MANAGEMENT_SCOPE = "api.management.read"
SCOPES = frozenset({USAGE_SCOPE, MANAGEMENT_SCOPE})

_OTHER_KEYS = ("sk-proj-", "sk-svcacct-", "sk-None-", "sess-")
Pairs = Sequence[tuple[str, str]]
Answer = Callable[[Account[OpenAIWorld], Request], bytes]
_Results = Callable[[date, int, int], Iterator[str]]


class OpenAIProvider:
    """The organization API, as one package of the simulator."""

    name = "openai"
    path = "/openai/v1"
    scopes = SCOPES

    def routes(self, simulator: Simulator) -> list[Route]:
        return _Endpoints(simulator).routes()

    def failure(self, status: int, message: str, code: str | None, /) -> bytes:
        return failure_body(status, message, code)


class _Endpoints:
    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def routes(self) -> list[Route]:
        """Every endpoint, and the vendor's 404 for anything else."""
        found = [self._route(f"/organization/usage/{name}", partial(self._usage, s)) for name, s in STREAMS.items()]
        found.append(self._route("/organization/costs", self._costs))
        found.extend(self._list_routes())
        found.append(Route("/{rest:path}", _unknown, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]))
        return found

    def _list_routes(self) -> list[Route]:
        answers: dict[str, Answer] = {
            "/organization/projects": self._projects,
            "/organization/projects/{project_id}": self._project,
            "/organization/projects/{project_id}/api_keys": self._api_keys,
            "/organization/projects/{project_id}/users": self._project_users,
            "/organization/projects/{project_id}/service_accounts": self._service_accounts,
            "/organization/users": self._users,
            "/organization/admin_api_keys": self._admin_api_keys,
            "/organization/spend_limit": self._spend_limit,
        }
        return [self._route(path, answer, MANAGEMENT_SCOPE) for path, answer in answers.items()]

    def _route(self, path: str, answer: Answer, scope: str = USAGE_SCOPE) -> Route:
        def endpoint(request: Request) -> Response:
            try:
                if request.method != "GET":
                    raise wrong_method(request.method)
                return _json(answer(self._account(request, scope), request))
            except Refusal as refusal:
                return _json(refusal.body, refusal.status)

        return Route(path, endpoint, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])

    def _account(self, request: Request, scope: str) -> Account[OpenAIWorld]:
        header = request.headers.get("authorization", "")
        kind, _, key = header.partition(" ")
        if kind.lower() != "bearer" or not key:
            raise no_key()
        account = self._simulator.account(OpenAIProvider.name, key.strip())
        if account is None:
            raise wrong_kind_of_key() if key.startswith(_OTHER_KEYS) else wrong_key(key)
        if scope not in account.scopes:
            raise missing_scope(scope)
        return account

    def _usage(self, stream: Stream, account: Account[OpenAIWorld], request: Request) -> bytes:
        rules = ReportRules(stream.group_by, stream.filters, USAGE_LIMITS, stream.flags)
        report = read_report_request(_pairs(request), rules, now=self._now())
        rows = UsageReport(account.world, stream, report)
        return self._page(account, report, stream.name, rows.results)

    def _costs(self, account: Account[OpenAIWorld], request: Request) -> bytes:
        groups = tuple(
            name for name in COST_GROUPS if name != "api_key_id" or not account.world.rejects_api_key_grouping
        )
        rules = ReportRules(groups, {"project_ids": "project_id", "api_key_ids": "api_key_id"}, COST_LIMITS)
        report = read_report_request(_pairs(request), rules, now=self._now())
        rows = CostReport(account.world, report)
        return self._page(account, report, "costs", rows.results)

    def _page(self, account: Account[OpenAIWorld], report: ReportRequest, name: str, results: _Results) -> bytes:
        spool = self._simulator.spool

        def render(day: date, start: int, end: int) -> bytes:
            return ",".join(results(day, start, end)).encode()

        if spool is None:
            return page_body(report, render)
        key = (account.key, account.world.revision, name, report.group_by, report.filters)
        return page_body(report, lambda *part: spool.hold((*key, *part), lambda: render(*part)))

    def _projects(self, account: Account[OpenAIWorld], request: Request) -> bytes:
        values = lists.read_list_parameters(_pairs(request), ("limit", "after", "include_archived"))
        archived = _one_of(values, "include_archived", ("true", "false"), "false") == "true"
        return lists.list_body(
            lists.project_items(account.world.directory, self._today(), include_archived=archived), values
        )

    def _project(self, account: Account[OpenAIWorld], request: Request) -> bytes:
        lists.read_list_parameters(_pairs(request), ())
        project_id = request.path_params["project_id"]
        return lists.encode(lists.project_item(account.world.directory, project_id, self._today()))

    def _api_keys(self, account: Account[OpenAIWorld], request: Request) -> bytes:
        values = lists.read_list_parameters(_pairs(request), ("limit", "after", "owner_project_access"))
        access = _one_of(values, "owner_project_access", ("active", "inactive", "any"), "active")
        project_id = request.path_params["project_id"]
        now = self._simulator.clock.now()
        return lists.list_body(lists.api_key_items(account.world.directory, project_id, now, access), values)

    def _project_users(self, account: Account[OpenAIWorld], request: Request) -> bytes:
        values = lists.read_list_parameters(_pairs(request), ("limit", "after"))
        project_id = request.path_params["project_id"]
        return lists.list_body(lists.project_user_items(account.world.directory, project_id, self._today()), values)

    def _service_accounts(self, account: Account[OpenAIWorld], request: Request) -> bytes:
        values = lists.read_list_parameters(_pairs(request), ("limit", "after"))
        project_id = request.path_params["project_id"]
        return lists.list_body(lists.service_account_items(account.world.directory, project_id), values)

    def _users(self, account: Account[OpenAIWorld], request: Request) -> bytes:
        values = lists.read_list_parameters(_pairs(request), ("limit", "after", "emails"))
        people = lists.user_items(account.world.directory, self._today(), values.get("emails", ()))
        return lists.list_body(people, values)

    def _admin_api_keys(self, account: Account[OpenAIWorld], request: Request) -> bytes:
        values = lists.read_list_parameters(_pairs(request), ("limit", "after", "order"))
        _one_of(values, "order", ("asc", "desc"), "asc")
        return lists.list_body(lists.admin_key_items(account.world.directory), values)

    def _spend_limit(self, _account: Account[OpenAIWorld], request: Request) -> bytes:
        lists.read_list_parameters(_pairs(request), ())
        return lists.encode(lists.spend_limit())

    def _now(self) -> int:
        return int(self._simulator.clock.now().timestamp())

    def _today(self) -> date:
        return self._simulator.clock.now().date()


def _unknown(request: Request) -> Response:
    refusal = invalid_url(request.method, f"/v1/{request.path_params['rest']}")
    return _json(refusal.body, refusal.status)


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def _pairs(request: Request) -> Pairs:
    return request.query_params.multi_items()


def _one_of(values: dict[str, list[str]], name: str, allowed: tuple[str, ...], default: str) -> str:
    text = values.get(name, [default])[-1]
    if text not in allowed:
        raise bad_parameter(name, f"Invalid value: '{text}'. Supported values are: {', '.join(allowed)}.")
    return text
