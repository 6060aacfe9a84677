"""Provider credentials under envelope encryption, bound to the organization they belong to."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final

import msgspec

from convergence.errors import InvalidRequest, SecretUnreadable
from convergence.security.kms import KEY_BYTES, NONCE_BYTES, KeyManagement
from convergence.security.redaction import REVEALED

FORMAT: Final = 1
_HINT = "Store the credential again: it was sealed for another organization, provider or version, or with another key."


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a secret belongs. A ciphertext opens for exactly the binding it was sealed with."""

    org_slug: str
    provider: str
    credential_id: str
    purpose: str = "provider_credential"
    version: int = 1

    def associated(self) -> bytes:
        """The binding as bytes, every part length-prefixed so that no part can borrow from its neighbour."""
        parts = ("v1", self.org_slug, self.purpose, self.provider, self.credential_id, str(self.version))
        encoded = [part.encode() for part in parts]
        return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


class _Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v: int
    key_version: str
    data_key: bytes
    nonce: bytes
    ciphertext: bytes


class Vault:
    """Seals and opens secrets. What it opens is masked from then on in every log line of the process."""

    def __init__(self, kms: KeyManagement, fingerprint_pepper: bytes) -> None:
        self._kms = kms
        self._pepper = fingerprint_pepper

    def seal(self, secret: str, binding: Binding) -> str:
        """JSON text that only this binding opens; a fresh data key every time.

        Raises:
            InvalidRequest: the secret is not text that UTF-8 can carry.
        """
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        plain = _encode(secret)
        REVEALED.add(secret)
        associated, data_key = binding.associated(), AESGCM.generate_key(KEY_BYTES * 8)
        wrapped, key_version = self._kms.wrap(data_key, associated)
        nonce = secrets.token_bytes(NONCE_BYTES)
        ciphertext = AESGCM(data_key).encrypt(nonce, plain, associated)
        return msgspec.json.encode(_Sealed(FORMAT, key_version, wrapped, nonce, ciphertext)).decode()

    def open(self, sealed: str, binding: Binding) -> str:
        """The secret.

        Raises:
            SecretUnreadable: sealed for another binding or by another key, or damaged. One text for every cause.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        parts, associated = _parse(sealed), binding.associated()
        data_key = self._kms.unwrap(parts.data_key, parts.key_version, associated)
        try:
            secret = AESGCM(data_key).decrypt(parts.nonce, parts.ciphertext, associated).decode()
        except (InvalidTag, ValueError):
            raise _unreadable() from None  # a decoding error carries the plain bytes
        REVEALED.add(secret)
        return secret

    def rewrap(self, sealed: str, binding: Binding) -> str:
        """The same ciphertext with its data key under the newest key version.

        Raises:
            SecretUnreadable: the data key does not open for this binding.
        """
        parts, associated = _parse(sealed), binding.associated()
        data_key = self._kms.unwrap(parts.data_key, parts.key_version, associated)
        wrapped, key_version = self._kms.wrap(data_key, associated)
        return msgspec.json.encode(msgspec.structs.replace(parts, data_key=wrapped, key_version=key_version)).decode()

    def fingerprint(self, secret: str) -> str:
        """Twelve hex characters that tell two secrets apart and give nothing away."""
        return hmac.new(self._pepper, _encode(secret), hashlib.sha256).hexdigest()[:12]


def key_version(sealed: str) -> str:
    """The key version that a sealed secret depends on."""
    return _parse(sealed).key_version


def _encode(secret: str) -> bytes:
    try:
        return secret.encode()
    except UnicodeEncodeError:
        # The error would carry the secret.
        raise InvalidRequest("the secret is not valid text", hint="Send it as UTF-8.") from None


def _parse(sealed: str) -> _Sealed:
    try:
        parts = msgspec.json.decode(sealed, type=_Sealed)
    except (msgspec.MsgspecError, UnicodeError):
        raise _unreadable() from None
    if parts.v != FORMAT:
        raise _unreadable()
    return parts


def _unreadable() -> SecretUnreadable:
    return SecretUnreadable("the stored secret cannot be opened", hint=_HINT)
