"""The platform's own set-up."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import StrictBool

from convergence.api.deps import CallerOf, PlatformOf
from convergence.api.fields import Answer, Body
from convergence.api.gate import GatedRoute, root_key
from convergence.api.setup import run_setup

router = APIRouter(prefix="/api/v1/admin", tags=["admin"], route_class=GatedRoute)


class BootstrapBody(Body):
    force_recreate_dataset: StrictBool = False


class Bootstrapped(Answer):
    status: Literal["SUCCESS"] = "SUCCESS"
    dataset: str
    tables_created: list[str]
    tables_existing: list[str]


@router.post("/bootstrap", dependencies=[root_key()])
async def bootstrap(platform: PlatformOf, caller: CallerOf, body: BootstrapBody | None = None) -> Bootstrapped:
    """Create the platform's dataset with its tables, or add the columns they lack. May be called again at any time.

    With `force_recreate_dataset` the platform's dataset is dropped first, with every profile, key and credential.
    """
    parameters = (body or BootstrapBody()).model_dump()
    done = await run_setup(platform, "onetime-bootstrap", caller=caller, parameters=parameters)
    return Bootstrapped.model_validate(done.outcome("setup_platform"))
