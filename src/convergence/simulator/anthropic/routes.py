"""The endpoints: who may ask, and what is answered."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from convergence.simulator.account import Account
from convergence.simulator.anthropic import lists
from convergence.simulator.anthropic.pages import (
    COST_GROUPS,
    USAGE_GROUPS,
    CostReport,
    UsageReport,
    claude_code_body,
    report_body,
)
from convergence.simulator.anthropic.refusals import (
    Refusal,
    bad_parameter,
    error_body,
    no_key,
    no_permission,
    no_version,
    not_found,
    request_id,
    wrong_key,
    wrong_method,
)
from convergence.simulator.anthropic.requests import (
    COST_LIMITS,
    USAGE_LIMITS,
    ReportRules,
    gather,
    read_day_request,
    read_report_request,
    single,
)
from convergence.simulator.anthropic.world import AnthropicWorld
from convergence.simulator.simulator import Simulator

ADMIN_SCOPE = "org:admin"
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_USAGE_FILTERS = {
    "api_key_ids[]": "api_key_id",
    "workspace_ids[]": "workspace_id",
    "models[]": "model",
    "service_tiers[]": "service_tier",
    "context_window[]": "context_window",
    "inference_geos[]": "inference_geo",
}
_USAGE_RULES = ReportRules(USAGE_GROUPS, USAGE_LIMITS, _USAGE_FILTERS)
_COST_RULES = ReportRules(COST_GROUPS, COST_LIMITS, {})
Answer = Callable[[Account[AnthropicWorld], Request], bytes]


class AnthropicProvider:
    """The Admin API, as one package of the simulator."""

    name = "anthropic"
    path = "/anthropic"
    scopes = frozenset({ADMIN_SCOPE})

    def routes(self, simulator: Simulator) -> list[Route]:
        return _Endpoints(simulator).routes()

    def failure(self, status: int, message: str, _code: str | None, /) -> bytes:
        """The type of an error follows from its status."""
        return error_body(status, message)


class _Endpoints:
    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def routes(self) -> list[Route]:
        """Every endpoint, and the vendor's 404 for anything else."""
        answers: dict[str, Answer] = {
            "me": self._me,
            "usage_report/messages": self._usage,
            "usage_report/claude_code": self._claude_code,
            "cost_report": self._costs,
            "workspaces": self._workspaces,
            "users": self._users,
            "api_keys": self._api_keys,
        }
        found = [self._route(f"/v1/organizations/{path}", answer) for path, answer in answers.items()]
        return [*found, self._route("/{rest:path}", _unknown)]

    def _route(self, path: str, answer: Answer) -> Route:
        def endpoint(request: Request) -> Response:
            try:
                account = self._account(request)
                if request.method != "GET":
                    raise wrong_method()
                return _json(answer(account, request), request)
            except Refusal as refusal:
                return _json(refusal.body, request, refusal.status)

        return Route(path, endpoint, methods=_METHODS)

    def _account(self, request: Request) -> Account[AnthropicWorld]:
        key = request.headers.get("x-api-key", "").strip()
        if not key:
            raise no_key()
        account = self._simulator.account(AnthropicProvider.name, key)
        if account is None:
            raise wrong_key()
        if "anthropic-version" not in request.headers:
            raise no_version()
        if ADMIN_SCOPE not in account.scopes:
            raise no_permission()
        return account

    def _me(self, account: Account[AnthropicWorld], request: Request) -> bytes:
        gather(_pairs(request), ())
        return lists.organization(account.world.directory)

    def _usage(self, account: Account[AnthropicWorld], request: Request) -> bytes:
        now = self._simulator.clock.now()
        report = read_report_request(_pairs(request), _USAGE_RULES, now=int(now.timestamp()))
        return report_body(report, UsageReport(account.world, report, now).results)

    def _costs(self, account: Account[AnthropicWorld], request: Request) -> bytes:
        now = self._simulator.clock.now()
        report = read_report_request(_pairs(request), _COST_RULES, now=int(now.timestamp()))
        return report_body(report, CostReport(account.world, report, now).results)

    def _claude_code(self, account: Account[AnthropicWorld], request: Request) -> bytes:
        return claude_code_body(account.world, read_day_request(_pairs(request)), self._simulator.clock.now())

    def _workspaces(self, account: Account[AnthropicWorld], request: Request) -> bytes:
        values = gather(_pairs(request), (*lists.LIST_PARAMETERS, "include_archived"))
        archived = single(values, "include_archived") or "false"
        if archived not in ("true", "false"):
            raise bad_parameter("include_archived", "Input should be a valid boolean")
        items = lists.workspace_items(account.world.directory, self._today(), include_archived=archived == "true")
        return lists.list_body(items, values)

    def _users(self, account: Account[AnthropicWorld], request: Request) -> bytes:
        values = gather(_pairs(request), (*lists.LIST_PARAMETERS, "email"))
        return lists.list_body(lists.user_items(account.world.directory, self._today()), values)

    def _api_keys(self, account: Account[AnthropicWorld], request: Request) -> bytes:
        values = gather(_pairs(request), (*lists.LIST_PARAMETERS, "status", "workspace_id", "created_by_user_id"))
        return lists.list_body(lists.api_key_items(account.world.directory, self._today(), values), values)

    def _today(self) -> date:
        return self._simulator.clock.now().date()


def _unknown(_account: Account[AnthropicWorld], _request: Request) -> bytes:
    raise not_found()


def _json(body: bytes, request: Request, status: int = 200) -> Response:
    headers = {"request-id": request_id(request.url.path, request.url.query)}
    return Response(body, status, headers, media_type="application/json")


def _pairs(request: Request) -> list[tuple[str, str]]:
    return request.query_params.multi_items()
