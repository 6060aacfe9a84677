"""The endpoints: who may ask, and what is answered."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from convergence.simulator.account import Account
from convergence.simulator.google_sheets.refusals import (
    Refusal,
    api_is_off,
    error_body,
    no_credential,
    no_permission,
    not_found,
    unknown_name,
    wrong_key,
    wrong_token,
)
from convergence.simulator.google_sheets.tokens import exchange, token_of
from convergence.simulator.google_sheets.values import value_range
from convergence.simulator.google_sheets.world import GoogleSheetsWorld
from convergence.simulator.simulator import Simulator

API_SCOPE = "sheets.googleapis.com"  # an account without it has the API switched off
_SHARED_NAMES = frozenset({"key", "fields", "alt", "prettyPrint"})
_VALUE_NAMES = _SHARED_NAMES | {"majorDimension", "valueRenderOption", "dateTimeRenderOption"}
Answer = Callable[[Account[GoogleSheetsWorld], Request], bytes]


class GoogleSheetsProvider:
    """The Sheets API and the token service, as one package of the simulator."""

    name = "google_sheets"
    path = "/google_sheets"
    scopes = frozenset({API_SCOPE})

    def routes(self, simulator: Simulator) -> list[Route]:
        return _Endpoints(simulator).routes()

    def failure(self, status: int, message: str, _code: str | None, /) -> bytes:
        return error_body(status, message)


class _Endpoints:
    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def routes(self) -> list[Route]:
        return [
            Route("/token", self._token, methods=["POST"]),
            self._route("/v4/spreadsheets/{spreadsheet_id}", self._spreadsheet),
            self._route("/v4/spreadsheets/{spreadsheet_id}/values/{range:path}", self._values),
            self._route("/{rest:path}", _unknown),
        ]

    def _route(self, path: str, answer: Answer) -> Route:
        def endpoint(request: Request) -> Response:
            try:
                return _json(answer(self._account(request), request))
            except Refusal as refusal:
                return _json(refusal.body, refusal.status)

        return Route(path, endpoint, methods=["GET"])

    async def _token(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        try:
            token = exchange(self._simulator, form.get("grant_type", ""), form.get("assertion", ""))
        except Refusal as refusal:
            return _json(refusal.body, refusal.status)
        return _json(msgspec.json.encode({"access_token": token, "expires_in": 3_599, "token_type": "Bearer"}))

    def _account(self, request: Request) -> Account[GoogleSheetsWorld]:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        account = self._by_token(token) if kind == "Bearer" else self._by_key(request)
        if API_SCOPE not in account.scopes:
            raise api_is_off()
        asked = request.path_params.get("spreadsheet_id")
        if asked is not None and asked != account.world.spreadsheet_id:
            raise not_found()
        if not (account.world.is_public or (kind == "Bearer" and account.world.is_shared)):
            raise no_permission()
        return account

    def _by_token(self, token: str) -> Account[GoogleSheetsWorld]:
        for account in self._simulator.accounts.values():
            if account.provider == GoogleSheetsProvider.name and token == token_of(account):
                return account
        raise wrong_token()

    def _by_key(self, request: Request) -> Account[GoogleSheetsWorld]:
        key = request.headers.get("x-goog-api-key") or request.query_params.get("key")
        if not key:
            raise no_credential()
        account = self._simulator.account(GoogleSheetsProvider.name, key)
        if account is None:
            raise wrong_key()
        return account

    def _spreadsheet(self, account: Account[GoogleSheetsWorld], request: Request) -> bytes:
        _check_names(request, _SHARED_NAMES)
        world = account.world
        tabs = [{"properties": {"sheetId": tab.sheet_id, "title": tab.title}} for tab in world.tabs]
        found = {"spreadsheetId": world.spreadsheet_id, "properties": {"title": world.title}, "sheets": tabs}
        return msgspec.json.encode(found)

    def _values(self, account: Account[GoogleSheetsWorld], request: Request) -> bytes:
        _check_names(request, _VALUE_NAMES)
        params = request.query_params
        found = value_range(
            account.world.tabs,
            request.path_params["range"],
            rendered=params.get("valueRenderOption", "FORMATTED_VALUE"),
            dated=params.get("dateTimeRenderOption", "SERIAL_NUMBER"),
            dimension=params.get("majorDimension", "ROWS"),
        )
        return msgspec.json.encode(found)


def _check_names(request: Request, known: frozenset[str]) -> None:
    for name in request.query_params:
        if name not in known:
            raise unknown_name(name)


def _unknown(_account: Account[GoogleSheetsWorld], _request: Request) -> bytes:
    raise not_found()


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")
