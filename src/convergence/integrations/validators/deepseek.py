"""DeepSeek: an API key of the account."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from convergence.connectors.auth import bearer
from convergence.errors import CredentialInvalid, ProviderRejected
from convergence.integrations.models import Validation
from convergence.integrations.validators._keys import check_shape, refuse_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convergence.connectors import HttpPool

_KEYS_PAGE: Final = "platform.deepseek.com/api_keys"
_NEEDED: Final = f"Paste an API key (sk-...) from {_KEYS_PAGE}."
_EXPORT: Final = "Usage and cost come from the console's export: upload it with POST /files."


async def check(http: HttpPool, org_slug: str, credential: str, *, now: datetime) -> Validation:  # noqa: ARG001 - the protocol
    """Ask for the balance: the cheapest call there is, and it works without any balance too.

    Raises:
        CredentialInvalid: DeepSeek does not know the key.
        ProviderUnavailable: DeepSeek could not be asked.
    """
    key = credential.strip()
    check_shape(key, _NEEDED)
    try:
        page = await http.client(org_slug, "deepseek", bearer(key)).get("/user/balance")
    except ProviderRejected as error:
        if error.status in (401, 403):
            raise refuse_key(error, f"The key is wrong or was deleted; make a new one at {_KEYS_PAGE}.") from None
        raise
    return Validation(warnings=(_EXPORT, *_find_warnings(page.envelope)))


def _find_warnings(envelope: Mapping[str, Any]) -> tuple[str, ...]:
    """
    Raises:
        CredentialInvalid: the answer holds no balance.
    """
    if not isinstance(envelope.get("balance_infos"), list):
        raise CredentialInvalid(
            "DeepSeek tells no balance for this key", hint=_NEEDED, fields={"validation_status": "INVALID"}
        )
    if envelope.get("is_available") is False:
        return ("The account's balance does not suffice for calls.",)
    return ()
