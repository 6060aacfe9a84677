"""Access tokens for keys of Google service accounts that customers hand over."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from convergence.errors import CredentialInvalid, ProviderUnavailable, UnsupportedError
from convergence.security.redaction import REVEALED, redact

TOKEN_URI: Final = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address, not a token
_KEPT: Final = ("client_email", "private_key", "private_key_id", "project_id")  # nothing that names an address
_PATIENCE_SECONDS: Final = 20
_WHERE: Final = "Make a JSON key at console.cloud.google.com > IAM > Service accounts > Keys, and paste all of it."


@dataclass(frozen=True, slots=True)
class ServiceAccountKey:
    """The JSON of a service account's key."""

    client_email: str
    info: Mapping[str, Any] = field(repr=False)

    @classmethod
    def read(cls, text: str) -> ServiceAccountKey:
        """
        Raises:
            CredentialInvalid: not the JSON key of a service account.
        """
        try:
            info = json.loads(text)
        except (ValueError, RecursionError):
            raise _refused("this is not JSON") from None
        if not isinstance(info, dict) or info.get("type") != "service_account":
            raise _refused("this is not the key of a service account")
        if not all(isinstance(info.get(name), str) for name in ("client_email", "private_key")):
            raise _refused("the key lacks client_email or private_key")
        return cls(info["client_email"], {name: info[name] for name in _KEPT if isinstance(info.get(name), str)})

    def fetch_token(self, scopes: Sequence[str], token_uri: str = TOKEN_URI) -> str:
        """A token of an hour. May block. Whoever writes a key writes its token_uri too: that one is not asked.

        Raises:
            CredentialInvalid: Google refuses the key.
            ProviderUnavailable: Google cannot be asked.
            UnsupportedError: Google's library is not installed.
        """
        try:
            from google.auth.exceptions import GoogleAuthError, RefreshError, TransportError
            from google.auth.transport.requests import Request
            from google.oauth2 import service_account
        except ImportError as error:
            raise UnsupportedError(
                "keys of service accounts need Google's library",
                hint="pip install 'convergence[gcp]', or use an API key.",
            ) from error
        try:
            build = service_account.Credentials.from_service_account_info
            credentials = build(  # type: ignore[no-untyped-call] # google-auth has no annotations
                {**self.info, "token_uri": token_uri}, scopes=list(scopes)
            )
            credentials.refresh(partial(Request(), timeout=_PATIENCE_SECONDS))
        except TransportError:
            raise ProviderUnavailable("Google's token service cannot be reached", code="provider_unreachable") from None
        except RefreshError as error:
            raise _judge(error) from None
        except (GoogleAuthError, ValueError):
            raise _refused("the key cannot be read") from None  # what google-auth says quotes it
        REVEALED.add(credentials.token)
        return str(credentials.token)


def _judge(error: Any) -> CredentialInvalid | ProviderUnavailable:
    said = redact(str(error.args[0]) if error.args else "no reason given")[:300]
    if error.retryable:
        return ProviderUnavailable(f"Google's token service fails: {said}")
    return _refused(f"Google refuses the key: {said}")


def _refused(message: str) -> CredentialInvalid:
    return CredentialInvalid(message, hint=_WHERE, fields={"validation_status": "INVALID"})
