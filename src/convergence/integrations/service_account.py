"""Service account keys of Google Cloud: which JSON is one, and which is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from convergence.errors import CredentialInvalid

_TOKEN_URI: Final = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address, no token
_UNIVERSE: Final = "googleapis.com"
_NEEDED: Final = ("project_id", "private_key", "client_email")
_KEPT: Final = (*_NEEDED, "private_key_id", "client_id")
_HOW: Final = (
    "Make a service account in the project of the billing export, then a JSON key of it: gcloud iam service-accounts"
    " keys create key.json --iam-account NAME@PROJECT.iam.gserviceaccount.com. Give the whole file as the credential."
)
_OTHERS: Final = {
    "authorized_user": "these are the credentials of a person, from gcloud auth application-default login",
    "external_account": "this is a configuration of workload identity federation, which names files and addresses",
    "impersonated_service_account": "this impersonates a service account with the credentials of a person",
}


def parse_key(credential: str) -> dict[str, str]:
    """The fields of a service account's JSON key that logging in needs.

    Where it logs in is not the key's to say: a token address of its own would be sent a signed request by this server.

    Raises:
        CredentialInvalid: it is something else; the message says what, and never shows it.
    """
    key = _parse_object(credential.strip())
    kind = key.get("type")
    if kind != "service_account":
        raise _refuse(_OTHERS.get(str(kind)) or _describe_other(key))
    missing = [name for name in _NEEDED if not isinstance(key.get(name), str) or not key[name]]
    if missing:
        raise _refuse(f"the service account key lacks {', '.join(missing)}")
    if key.get("token_uri", _TOKEN_URI) != _TOKEN_URI or key.get("universe_domain", _UNIVERSE) != _UNIVERSE:
        raise _refuse("the service account key logs in elsewhere than at googleapis.com")
    kept = {name: key[name] for name in _KEPT if isinstance(key.get(name), str)}
    return {"type": "service_account", "token_uri": _TOKEN_URI, **kept}


def _parse_object(text: str) -> Mapping[str, Any]:
    if text.startswith("AIza"):
        raise _refuse("this is an API key, which opens no billing export")
    try:
        key = msgspec.json.decode(text.encode(errors="replace"))
    except (msgspec.DecodeError, RecursionError):
        key = None  # not `from` the error: it may show the text
    if not isinstance(key, dict):
        raise _refuse("this is not the JSON key of a service account")
    return key


def _describe_other(key: Mapping[str, Any]) -> str:
    if "installed" in key or "web" in key:
        return "this is an OAuth client, which logs in as a person"
    return "this JSON is not the key of a service account"


def _refuse(message: str) -> CredentialInvalid:
    return CredentialInvalid(message, hint=_HOW, fields={"validation_status": "INVALID"})
