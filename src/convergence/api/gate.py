"""Who may call a route. Asked before anything of the body is read: key, then organization, then scope."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from fastapi import Security, params
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.requests import Request
from starlette.responses import Response

from convergence.api.bodies import JsonRequest
from convergence.api.exchange import Exchange
from convergence.api.throttle import Throttle
from convergence.errors import Denied, NotFound, Unauthenticated
from convergence.organizations.models import SCOPES, Principal
from convergence.organizations.service import Organizations
from convergence.queue import PushQueue
from convergence.settings import Settings
from convergence.tenancy import OrgScope

ORG_KEY: Final = APIKeyHeader(
    name="X-API-Key",
    scheme_name="OrganizationKey",
    description="An API key of the organization, as onboarding or POST .../api-keys shows it once.",
    auto_error=False,
)
ROOT_KEY: Final = APIKeyHeader(
    name="X-CA-Root-Key",
    scheme_name="RootKey",
    description="The operator's key: CA_ROOT_API_KEY of the server.",
    auto_error=False,
)
TASK_TOKEN: Final = HTTPBearer(
    scheme_name="TaskToken",
    bearerFormat="JWT",
    description="The OIDC token that Cloud Tasks, or Cloud Scheduler, adds for CLOUD_TASKS_SERVICE_ACCOUNT.",
    auto_error=False,
)
OPERATOR: Final = "operator"  # the name of whoever embeds the application
OPERATOR_KEY_HEADER: Final = "X-Operator-Key"
OPERATOR_ORG_HEADER: Final = "X-Operator-Org"


def org_key(*scopes: str) -> params.Security:
    """Takes an organization's key that has these scopes."""
    security: params.Security = Security(ORG_KEY, scopes=list(scopes))
    return security


def root_key() -> params.Security:
    """Takes the root key."""
    security: params.Security = Security(ROOT_KEY)
    return security


def task_token() -> params.Security:
    """Takes the token of the queue's deliveries, and no key."""
    security: params.Security = Security(TASK_TOKEN)
    return security


@dataclass(frozen=True, slots=True)
class Access:
    """What a route's security declares: the same that its OpenAPI entry says."""

    takes_org_key: bool
    takes_root_key: bool
    scopes: frozenset[str]
    takes_task_token: bool = False

    @classmethod
    def declared(cls, dependencies: Sequence[params.Depends]) -> Access:
        """
        Raises:
            TypeError: no key is declared: a route is never open by forgetting.
        """
        declared = {id(one.dependency): one for one in dependencies if isinstance(one, params.Security)}
        org, root = declared.get(id(ORG_KEY)), declared.get(id(ROOT_KEY))
        token = declared.get(id(TASK_TOKEN))
        if org is None and root is None and token is None:
            raise TypeError("a route declares which key it takes: dependencies=[org_key(...)] or [root_key()]")
        scopes = frozenset(org.scopes or ()) if org is not None else frozenset()
        return cls(org is not None, root is not None, scopes, token is not None)


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a request speaks for. Without a principal it is the operator, who has every scope."""

    org: OrgScope | None
    principal: Principal | None = None
    name: str = "root"

    @property
    def scopes(self) -> frozenset[str]:
        return self.principal.scopes if self.principal else SCOPES


@dataclass(frozen=True, slots=True)
class Gate:
    """Lets callers in. `operator_key` is of the process that embeds the application, and of no one else.

    `queue` is the one whose deliveries this process takes.
    """

    settings: Settings
    organizations: Organizations
    throttle: Throttle
    operator_key: str | None = field(default=None, repr=False)
    queue: PushQueue | None = None

    async def admit(self, request: Request, access: Access) -> Caller:
        """
        Raises:
            Unauthenticated: no key, a wrong one, or the wrong kind of key.
            NotFound: another organization's path, or one that is not there.
            Denied: the key lacks a scope.
            RateLimited: too many requests.
        """
        if access.takes_task_token:
            return await self._admit_delivery(request)
        if (caller := await self._operator(request, access)) is not None:
            return caller
        address = request.client.host if request.client else "unknown"
        await self.throttle.count_address(address)
        caller = await self._identify(request, access, address)
        if caller.org is not None and caller.principal is not None:
            await self._count(request, caller.org)
        _check_path(request, caller)
        if missing := access.scopes - caller.scopes:
            raise Denied(
                f"the key does not have {', '.join(sorted(missing))}",
                code="scope_missing",
                hint="Use a key that has it, or create one.",
            )
        return caller

    async def _admit_delivery(self, request: Request) -> Caller:
        """Not counted: the queue paces itself, and a delivery that is refused comes again."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise Unauthenticated("the token of the task is missing", hint="Only the queue calls this.")
        if self.queue is None:
            raise NotFound(
                "this process takes no deliveries",
                code="no_deliveries",
                hint="It would with QUEUE_BACKEND=cloud_tasks.",
            )
        await self.queue.check_sender(token)
        return Caller(None, name="queue")

    async def _operator(self, request: Request, access: Access) -> Caller | None:
        given = request.headers.get(OPERATOR_KEY_HEADER)
        if self.operator_key is None or given is None or not _same(given, self.operator_key):
            return None
        slug = request.headers.get(OPERATOR_ORG_HEADER) or _path_org(request)
        if not access.takes_org_key or not slug:
            return Caller(None, name=OPERATOR)
        return Caller(await self.organizations.organization(slug), name=OPERATOR)

    async def _identify(self, request: Request, access: Access, address: str) -> Caller:
        root, key = (request.headers.get(scheme.model.name) for scheme in (ROOT_KEY, ORG_KEY))
        if access.takes_root_key and root is not None:
            await self._check_root(root, address)
            return Caller(await self._path_scope(request))
        if access.takes_org_key and key is not None:
            principal = await self._authenticate(key, address)
            return Caller(principal.org, principal, principal.api_key_id)
        if self.settings.disable_auth and not self.settings.is_production:
            return await self._open_caller(request, access)
        raise _unauthenticated(access)

    async def _check_root(self, given: str, address: str) -> None:
        await self.throttle.check_failures(address)
        expected = self.settings.ca_root_api_key
        if expected is None or not _same(given, expected.get_secret_value()):
            await self.throttle.count_failure(address)
            raise _wrong_root_key()

    async def _authenticate(self, key: str, address: str) -> Principal:
        await self.throttle.check_failures(address)
        try:
            return await self.organizations.authenticate(key)
        except Unauthenticated:
            await self.throttle.count_failure(address)
            raise

    async def _open_caller(self, request: Request, access: Access) -> Caller:
        """DISABLE_AUTH: the organization of the path, or of DEFAULT_TENANT_ID, with every scope."""
        if not access.takes_org_key:
            return Caller(None, name="anonymous")
        slug = _path_org(request) or self.settings.default_tenant_id
        if slug is None:
            raise Unauthenticated(
                "DISABLE_AUTH is on and nothing says which organization to act for",
                hint="Set DEFAULT_TENANT_ID, or send X-API-Key.",
            )
        return Caller(await self.organizations.organization(slug), name="anonymous")

    async def _path_scope(self, request: Request) -> OrgScope | None:
        slug = _path_org(request)
        return None if slug is None else await self.organizations.organization(slug)

    async def _count(self, request: Request, org: OrgScope) -> None:
        exchange = Exchange.of(request.scope)
        exchange.org_slug = org.org_slug
        allowance = await self.throttle.count_organization(org.org_slug)
        if allowance is None:
            return
        exchange.headers |= allowance.headers()
        if allowance.is_exceeded:
            raise allowance.refusal("of this organization")


class GatedRoute(APIRoute):
    """A route whose caller is let in before its body is read. One that `streams_body` reads it by itself."""

    streams_body: ClassVar[bool] = False

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()
        access = Access.declared(self.dependencies)
        takes_body = self.body_field is not None

        async def handle(request: Request) -> Response:
            gate: Gate = request.app.state.gate
            caller = await gate.admit(request, access)
            request.state.caller = caller
            if caller.org is not None:
                Exchange.of(request.scope).org_slug = caller.org.org_slug
            if self.streams_body:
                return await answer(request)
            strict = JsonRequest(request.scope, request.receive)
            await strict.prepare(is_expected=takes_body)
            return await answer(strict)

        return handle


def _check_path(request: Request, caller: Caller) -> None:
    slug = _path_org(request)
    if slug is not None and caller.org is not None and slug != caller.org.org_slug:
        raise NotFound(f"there is no organization {slug[:50]}", code="organization_not_found", hint="Onboard it first.")


def _path_org(request: Request) -> str | None:
    found = request.path_params.get("org")
    return None if found is None else str(found)


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _unauthenticated(access: Access) -> Unauthenticated:
    return (
        Unauthenticated("the API key is missing or not valid", hint="Send a valid key in the X-API-Key header.")
        if access.takes_org_key
        else _wrong_root_key()
    )


def _wrong_root_key() -> Unauthenticated:
    return Unauthenticated(
        "the root key is missing or not valid", hint="Send CA_ROOT_API_KEY of the server in the X-CA-Root-Key header."
    )
