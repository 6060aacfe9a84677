"""OpenAI: an Admin key of the organization, with the rights to read usage and projects."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from convergence.connectors.auth import bearer
from convergence.errors import ProviderRejected
from convergence.integrations.models import Validation
from convergence.integrations.validators._keys import check_shape, refuse_key
from convergence.kit.hashing import digest

if TYPE_CHECKING:
    from convergence.connectors import HttpPool, ProviderClient

_ADMIN_PREFIX: Final = "sk-admin-"
_KEYS_PAGE: Final = "platform.openai.com/settings/organization/admin-keys"


async def check(http: HttpPool, org_slug: str, credential: str, *, now: datetime) -> Validation:
    """Ask for the projects, which any Admin key may, then for a day of costs, which needs the right to usage.

    Raises:
        CredentialInvalid: not an Admin key, revoked, or without a right that is needed.
        ProviderUnavailable: OpenAI could not be asked.
    """
    key = credential.strip()
    check_shape(key, f"Paste an Admin key ({_ADMIN_PREFIX}...) from {_KEYS_PAGE}.")
    client = http.client(org_slug, "openai", bearer(key))
    projects = await _ask(
        client, key, "/organization/projects", {"limit": "100", "include_archived": "true"}, right="projects, read"
    )
    yesterday = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    await _ask(
        client,
        key,
        "/organization/costs",
        {"start_time": str(int(yesterday.timestamp())), "limit": "1"},
        right="usage, read (api.usage.read)",
    )
    return Validation(account=_account(projects))


async def _ask(client: ProviderClient, key: str, path: str, params: dict[str, str], *, right: str) -> dict[str, Any]:
    try:
        page = await client.get(path, tuple(params.items()))
    except ProviderRejected as error:
        if error.status == 401:
            raise refuse_key(error, _explain_401(key)) from None
        if error.status == 403:
            raise refuse_key(error, f"The key lacks the right {right!r}; add it at {_KEYS_PAGE}.") from None
        raise
    return dict(page.envelope)


def _explain_401(key: str) -> str:
    if key.startswith(_ADMIN_PREFIX):
        return f"The Admin key is wrong or was revoked; make a new one at {_KEYS_PAGE}."
    return (
        f"An Admin key ({_ADMIN_PREFIX}...) is needed; project, user and service account keys cannot read the"
        f" organization's costs. An owner makes one at {_KEYS_PAGE}."
    )


def _account(projects: dict[str, Any]) -> dict[str, Any]:
    """Which organization the key belongs to, told by its projects: the API names it nowhere."""
    ids = sorted(str(item["id"]) for item in projects.get("data") or () if isinstance(item, dict) and "id" in item)
    return {"project_ids": ids, "projects_fingerprint": digest(*ids)[:12]}
