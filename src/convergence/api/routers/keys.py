"""The keys that the platform's secrets are sealed with."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import StrictBool

from convergence.api.deps import PlatformOf
from convergence.api.fields import Answer, Body
from convergence.api.gate import GatedRoute, root_key
from convergence.integrations.rotation import KeyRotation
from convergence.integrations.store import CredentialStore

router = APIRouter(prefix="/api/v1/admin/keys", tags=["admin"], route_class=GatedRoute)


class RotateBody(Body):
    new_version: StrictBool = True


class Rotated(Answer):
    key_version: str
    managed: bool
    rotated: bool
    rewrapped: int
    current: int
    remaining: int
    unreadable: list[str]


@router.post("/rotate", dependencies=[root_key()])
async def rotate_keys(platform: PlatformOf, body: RotateBody | None = None) -> Rotated:
    """Move the data key of every stored credential to the newest version of the wrapping key.

    A new version is made first, where the keys are local and nothing of an earlier rotation is left to do; a managed
    key, such as one of Cloud KMS, makes its versions by a schedule of its own. While `remaining` is not 0, call again
    with `new_version` false. `unreadable` names what no key here opens; it stays as it is.
    """
    credentials = CredentialStore(platform.warehouse, platform.scope, platform.catalog)
    rotation = KeyRotation(credentials, platform.security, platform.state, platform.clock)
    done = await rotation.rotate(new_version=(body or RotateBody()).new_version)
    return Rotated.model_validate(done, from_attributes=True)
