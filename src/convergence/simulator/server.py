"""The application: every provider under its path, and `/_simulator` to script it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from convergence.kit import jsontext
from convergence.simulator.faults import FaultRule
from convergence.simulator.misbehaviour import Misbehaviour
from convergence.simulator.providers import PROVIDERS
from convergence.simulator.simulator import Simulator

Handler = Callable[[Request], Awaitable[Response]]


class RevisionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A provider's change of mind. Without `key` every account changes."""

    kind: str
    days: list[date]
    share: float = 0.05
    key: str | None = None


def create_simulator_app(simulator: Simulator) -> Misbehaviour:
    """An ASGI application that serves the simulator."""
    control = _Control(simulator)
    routes: list[Mount | Route] = [Mount("/_simulator", routes=control.routes())]
    routes.extend(Mount(provider.path, routes=provider.routes(simulator)) for provider in PROVIDERS.values())
    return Misbehaviour(Starlette(routes=routes), simulator)


class _Control:
    """What tests and demos ask of the simulator itself. Unlike a provider it needs no key."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def routes(self) -> list[Route]:
        return [
            Route("/faults", self._faults, methods=["GET", "POST"]),
            Route("/reset", self._reset, methods=["POST"]),
            Route("/revision", self._revision, methods=["GET", "POST"]),
            Route("/truth", self._truth, methods=["GET"]),
            Route("/requests", self._requests, methods=["GET"]),
        ]

    async def _faults(self, request: Request) -> Response:
        """GET the rules with their strikes; POST one rule or a list of them."""
        if request.method == "POST":
            try:
                found = msgspec.json.decode(await request.body(), type=FaultRule | list[FaultRule])
            except msgspec.DecodeError as error:
                return _answer({"error": str(error)}, 400)
            self._simulator.faults.add(*(found if isinstance(found, list) else [found]))
        struck = self._simulator.faults.struck()
        return _answer({"faults": [{**msgspec.to_builtins(rule), "struck": count} for rule, count in struck]})

    async def _reset(self, _request: Request) -> Response:
        self._simulator.reset()
        return _answer({"revision": 0})

    async def _revision(self, request: Request) -> Response:
        """POST {kind, days, share, key}: restate, remove, clear or restore days."""
        if request.method == "POST":
            try:
                change = msgspec.json.decode(await request.body(), type=RevisionRequest)
                self._simulator.revise(change.kind, change.days, share=change.share, key=change.key)
            except (msgspec.DecodeError, ValueError, KeyError) as error:
                return _answer({"error": str(error)}, 400)
        return _answer({"revision": self._simulator.revision()})

    async def _truth(self, request: Request) -> Response:
        try:
            return _answer(self._simulator.truth(request.query_params.get("key")))
        except KeyError as error:
            return _answer({"error": str(error)}, 404)

    async def _requests(self, request: Request) -> Response:
        return _answer(self._simulator.journal.plain(with_log=request.query_params.get("log") == "true"))


def _answer(content: Any, status: int = 200) -> Response:
    return Response(jsontext.dumps(content), status, media_type="application/json")
