"""What a route is given: the platform, its caller, its organization."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from convergence.api.gate import Caller
from convergence.bootstrap import Platform
from convergence.errors import NotFound
from convergence.tenancy import OrgScope


async def _platform(request: Request) -> Platform:
    platform: Platform = request.app.state.platform
    return platform


async def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


async def _org(request: Request) -> OrgScope:
    caller: Caller = request.state.caller
    if caller.org is None:
        raise NotFound("the request names no organization")
    return caller.org


PlatformOf = Annotated[Platform, Depends(_platform)]
CallerOf = Annotated[Caller, Depends(_caller)]
OrgOf = Annotated[OrgScope, Depends(_org)]
