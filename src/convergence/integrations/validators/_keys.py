"""What the validators of keys have in common."""

from __future__ import annotations

from typing import Final

from convergence.errors import CredentialInvalid, ProviderRejected
from convergence.security import redact

_MAX_LENGTH: Final = 512


def check_shape(key: str, hint: str) -> None:
    """
    Raises:
        CredentialInvalid: it cannot be a key of any provider; `hint` says what to paste instead.
    """
    if not 8 <= len(key) <= _MAX_LENGTH or not key.isascii() or not key.isprintable() or " " in key:
        raise CredentialInvalid(
            "this is not a key: keys are one word of ASCII letters, digits and signs",
            hint=hint,
            fields={"validation_status": "INVALID"},
        )


def refuse_key(error: ProviderRejected, hint: str) -> CredentialInvalid:
    """The provider's refusal in its own words, with what to do about it."""
    return CredentialInvalid(
        redact(error.message), hint=hint, fields={"validation_status": "INVALID", "status": error.status}
    )
