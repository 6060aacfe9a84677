"""Cursor: a key of the team's Admin API."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from convergence.connectors.auth import HeaderAuth, basic
from convergence.errors import CredentialInvalid, ProviderRejected
from convergence.integrations.models import Validation
from convergence.integrations.validators._keys import check_shape, refuse_key
from convergence.kit.hashing import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convergence.connectors import HttpPool

_PREFIXES: Final = ("key_", "crsr_")
_KEYS_PAGE: Final = "cursor.com/dashboard > API Keys"
_NEEDED: Final = (
    f"A key of the team's Admin API (crsr_... or key_...) is needed; a team admin makes one in {_KEYS_PAGE}."
)


def build_auth(key: str) -> HeaderAuth:
    """HTTP Basic: the key is the user name, the password is empty."""
    return basic(key.strip(), "")


async def check(http: HttpPool, org_slug: str, credential: str, *, now: datetime) -> Validation:  # noqa: ARG001 - the protocol
    """Ask for the team's members, which only an Admin API key may.

    Raises:
        CredentialInvalid: not an Admin API key, revoked, or of a team whose plan has no Admin API.
        ProviderUnavailable: Cursor could not be asked.
    """
    key = credential.strip()
    check_shape(key, _NEEDED)
    try:
        page = await http.client(org_slug, "cursor", build_auth(key)).get("/teams/members")
    except ProviderRejected as error:
        if error.status in (401, 403):
            raise refuse_key(error, _explain(key, error.status)) from None
        raise
    return Validation(account=_account(page.envelope))


def _explain(key: str, status: int) -> str:
    if not key.startswith(_PREFIXES):
        return f"{_NEEDED} Keys of model providers and of single users cannot read the team's costs."
    if status == 403:
        return f"The key may not read the team, or the team's plan has no Admin API. {_NEEDED}"
    return f"The Admin API key is wrong or was revoked; a team admin makes a new one in {_KEYS_PAGE}."


def _account(envelope: Mapping[str, Any]) -> dict[str, Any]:
    """Whose key it is, told by the team's owners: the API names the team nowhere.

    Raises:
        CredentialInvalid: the answer holds no team.
    """
    listed = envelope.get("teamMembers")
    if not isinstance(listed, list) or not listed:
        raise CredentialInvalid(
            "Cursor names no members of a team for this key", hint=_NEEDED, fields={"validation_status": "INVALID"}
        )
    owners = [item for item in listed if isinstance(item, dict) and "owner" in str(item.get("role"))]
    ids = sorted(str(item.get("id")) for item in owners)
    return {"owner_ids": ids, "owners_fingerprint": digest(*ids)[:12]}
