"""What DeepSeek answers to an API key under `/deepseek`: balance, models, and that it has no usage to tell."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_DOWN, Decimal
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from convergence.simulator.account import Account
from convergence.simulator.deepseek.offers import OFFERS
from convergence.simulator.deepseek.world import DeepSeekWorld
from convergence.simulator.simulator import Simulator

BALANCE_SCOPE: Final = "balance"
_GRANTED: Final = Decimal(10)
_METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_TYPES: Final = {401: "authentication_error", 402: "insufficient_balance", 429: "rate_limit_error"}
Answer = Callable[[Account[DeepSeekWorld]], bytes]


class DeepSeekProvider:
    """The API, as one package of the simulator."""

    name = "deepseek"
    path = "/deepseek"
    scopes = frozenset({BALANCE_SCOPE})

    def routes(self, simulator: Simulator) -> list[Route]:
        return _Endpoints(simulator).routes()

    def failure(self, status: int, message: str, _code: str | None, /) -> bytes:
        return error_body(status, message)


class _Endpoints:
    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def routes(self) -> list[Route]:
        """Every endpoint, and the vendor's 404 for anything else."""
        return [
            self._route("/user/balance", self._balance),
            self._route("/models", _models),
            self._route("/v1/usage", None, 403, "Missing scopes: api.usage.read"),
            self._route("/{rest:path}", None, 404, "Not found"),
        ]

    def _route(self, path: str, answer: Answer | None, status: int = 200, message: str = "") -> Route:
        def endpoint(request: Request) -> Response:
            account = self._account(request)
            if account is None:
                return _json(error_body(401, "Authentication Fails (governor)"), 401)
            if answer is None:
                return _json(error_body(status, message), status)
            if request.method != "GET":
                return _json(error_body(405, "Method Not Allowed"), 405)
            return _json(answer(account))

        return Route(path, endpoint, methods=_METHODS)

    def _account(self, request: Request) -> Account[DeepSeekWorld] | None:
        kind, _, key = request.headers.get("authorization", "").partition(" ")
        return self._simulator.account(DeepSeekProvider.name, key.strip()) if kind.lower() == "bearer" else None

    def _balance(self, account: Account[DeepSeekWorld]) -> bytes:
        world, now = account.world, self._simulator.clock.now()
        left = world.topped_up - Decimal(world.truth(now)["cost"]["total"])
        infos = [_info(world.currency, left, _GRANTED)]
        infos.append(_info("CNY" if world.currency == "USD" else "USD", Decimal(0), Decimal(0)))
        return msgspec.json.encode({"is_available": left > 0, "balance_infos": infos})


def _info(currency: str, topped_up: Decimal, granted: Decimal) -> dict[str, str]:
    """Balances are texts with two decimals."""
    return {
        "currency": currency,
        "total_balance": _cents(topped_up + granted),
        "granted_balance": _cents(granted),
        "topped_up_balance": _cents(topped_up),
    }


def _cents(amount: Decimal) -> str:
    return str(amount.quantize(Decimal("0.01"), rounding=ROUND_DOWN))


def _models(_account: Account[DeepSeekWorld]) -> bytes:
    names = dict.fromkeys(offer.model for offer in OFFERS)
    items = [{"id": name, "object": "model", "owned_by": "deepseek"} for name in names]
    return msgspec.json.encode({"object": "list", "data": items})


def error_body(status: int, message: str) -> bytes:
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    error = {"message": message, "type": kind, "param": None, "code": "invalid_request_error"}
    return msgspec.json.encode({"error": error})


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")
