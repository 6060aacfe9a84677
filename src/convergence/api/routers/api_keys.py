"""API keys of an organization."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter

from convergence.api.deps import CallerOf, OrgOf, PlatformOf
from convergence.api.fields import Answer, Body, Moment, Page, RequestText, Time
from convergence.api.gate import GatedRoute, org_key, root_key
from convergence.organizations.models import ApiKey

router = APIRouter(prefix="/api/v1/organizations/{org}/api-keys", tags=["api keys"], route_class=GatedRoute)
_KEYS_WRITE = [org_key("keys:write"), root_key()]


class NewKeyBody(Body):
    """Without scopes the key has those of the key that asks; the root key gives all."""

    name: RequestText
    scopes: list[RequestText] | None = None
    expires_at: Moment | None = None


class ApiKeyAnswer(Answer):
    api_key_id: str
    name: str
    api_key_fingerprint: str
    scopes: list[str]
    created_at: Time
    created_by: str | None
    expires_at: Time | None
    revoked_at: Time | None


class NewKeyAnswer(Answer):
    """`api_key` is shown here and never again."""

    api_key_id: str
    api_key: str
    api_key_fingerprint: str
    name: str
    scopes: list[str]
    expires_at: Time | None


class RevokedAnswer(Answer):
    api_key_id: str
    revoked: Literal[True] = True
    revoked_at: Time


@router.get("", dependencies=_KEYS_WRITE)
async def list_api_keys(org: OrgOf, platform: PlatformOf) -> Page[ApiKeyAnswer]:
    """All keys by fingerprint, revoked ones too, oldest first."""
    return Page(items=[_answer(key) for key in await platform.organizations.api_keys(org)])


@router.post("", status_code=201, dependencies=_KEYS_WRITE)
async def create_api_key(body: NewKeyBody, org: OrgOf, platform: PlatformOf, caller: CallerOf) -> NewKeyAnswer:
    """Make a key, which is shown once. 403 for a scope that the key that asks does not have."""
    made = await platform.organizations.create_api_key(
        org, body.name, body.scopes, body.expires_at, created_by=caller.principal
    )
    return NewKeyAnswer(
        api_key_id=made.api_key_id,
        api_key=made.api_key,
        api_key_fingerprint=made.api_key_fingerprint,
        name=made.name,
        scopes=sorted(made.scopes),
        expires_at=made.expires_at,
    )


@router.delete("/{api_key_id}", dependencies=_KEYS_WRITE)
async def revoke_api_key(api_key_id: str, org: OrgOf, platform: PlatformOf, caller: CallerOf) -> RevokedAnswer:
    """Refuse the key from now on, in every process. A key may revoke itself; revoking twice changes nothing."""
    revoked = await platform.organizations.revoke_api_key(org, api_key_id, revoked_by=caller.name)
    return RevokedAnswer(api_key_id=revoked.api_key_id, revoked_at=revoked.revoked_at or platform.clock.now())


def _answer(key: ApiKey) -> ApiKeyAnswer:
    return ApiKeyAnswer(
        api_key_id=key.api_key_id,
        name=key.name,
        api_key_fingerprint=key.fingerprint,
        scopes=sorted(key.scopes),
        created_at=key.created_at,
        created_by=key.created_by,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
    )
