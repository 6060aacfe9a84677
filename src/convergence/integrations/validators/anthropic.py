"""Anthropic: an Admin key of the organization."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from convergence import __version__
from convergence.connectors.auth import HeaderAuth, header_key
from convergence.errors import ProviderRejected
from convergence.integrations.models import Validation
from convergence.integrations.validators._keys import check_shape, refuse_key

if TYPE_CHECKING:
    from convergence.connectors import HttpPool, ProviderClient

API_VERSION: Final = "2023-06-01"
_ADMIN_PREFIX: Final = "sk-ant-admin"
_ORDINARY_PREFIX: Final = "sk-ant-api"
_KEYS_PAGE: Final = "Console > Settings > Admin keys"


def build_auth(key: str) -> HeaderAuth:
    """The headers of every request."""
    fixed = {"anthropic-version": API_VERSION, "user-agent": f"convergence/{__version__}"}
    return header_key("x-api-key", key, fixed)


async def check(http: HttpPool, org_slug: str, credential: str, *, now: datetime) -> Validation:
    """Ask whose key it is, then for a day of costs.

    Raises:
        CredentialInvalid: not an Admin key, revoked, or without a right that is needed.
        ProviderUnavailable: Anthropic could not be asked.
    """
    key = credential.strip()
    check_shape(key, f"Paste an Admin key ({_ADMIN_PREFIX}...) from {_KEYS_PAGE}.")
    client = http.client(org_slug, "anthropic", build_auth(key))
    organization = await _ask(client, key, "/v1/organizations/me", {})
    yesterday = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    start = f"{yesterday:%Y-%m-%dT%H:%M:%SZ}"
    await _ask(client, key, "/v1/organizations/cost_report", {"starting_at": start, "limit": "1"})
    return Validation(account={name: organization[name] for name in ("id", "name") if organization.get(name)})


async def _ask(client: ProviderClient, key: str, path: str, params: dict[str, str]) -> dict[str, Any]:
    try:
        page = await client.get(path, tuple(params.items()))
    except ProviderRejected as error:
        if error.status in (401, 403):
            raise refuse_key(error, _explain(key, error.status)) from None
        raise
    return dict(page.envelope)


def _explain(key: str, status: int) -> str:
    if key.startswith(_ORDINARY_PREFIX) or not key.startswith("sk-ant-"):
        return (
            f"An Admin key ({_ADMIN_PREFIX}...) is needed; an ordinary API key ({_ORDINARY_PREFIX}...) cannot read the"
            f" organization's costs. An admin of the organization makes one in {_KEYS_PAGE}."
        )
    if status == 403:
        return f"The Admin key may not read the organization's costs; an admin makes one that may in {_KEYS_PAGE}."
    return f"The Admin key is wrong or was revoked; make a new one in {_KEYS_PAGE}."
