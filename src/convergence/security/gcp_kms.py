"""Data keys under a key of Cloud KMS, which never leaves Google."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from convergence.errors import SecretsUnavailable, SecretUnreadable
from convergence.security.google_errors import PATIENCE, build_retry, translating

if TYPE_CHECKING:
    from datetime import timedelta

    from google.cloud.kms_v1 import KeyManagementServiceClient

ROLE: Final = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
_PROBE: Final = b"which version wraps?"


class GcpKms:
    """KeyManagement by a symmetric key, `projects/P/locations/L/keyRings/R/cryptoKeys/K`.

    The associated data goes to Cloud KMS as well. Both ways every byte is checked by CRC-32C, as Google asks of
    callers: a bit that flips on the way would make a credential unreadable for good. Calls block; one client serves
    every thread.
    """

    def __init__(
        self, key_name: str, *, client: KeyManagementServiceClient | None = None, patience: timedelta = PATIENCE
    ) -> None:
        self._key_name = key_name
        self._patience = patience
        self._client = client
        self._opening = threading.Lock()

    def __repr__(self) -> str:
        return f"GcpKms({self._key_name!r})"

    @property
    def key_version(self) -> str:
        """The version that wraps now: encrypting tells it, so that no role to look at keys is needed."""
        return self.wrap(_PROBE, _PROBE)[1]

    def wrap(self, data_key: bytes, associated: bytes, /) -> tuple[bytes, str]:
        """
        Raises:
            SecretsUnavailable: Cloud KMS cannot be reached, refuses, or its key cannot encrypt.
        """
        request = {
            "name": self._key_name,
            "plaintext": data_key,
            "plaintext_crc32c": _checksum(data_key),
            "additional_authenticated_data": associated,
            "additional_authenticated_data_crc32c": _checksum(associated),
        }
        with self._calling() as client:
            reply = client.encrypt(
                request=request, retry=build_retry(self._patience), timeout=self._patience.total_seconds()
            )
        arrived = reply.verified_plaintext_crc32c and reply.verified_additional_authenticated_data_crc32c
        if not arrived or reply.ciphertext_crc32c != _checksum(reply.ciphertext):
            raise _damaged()
        return reply.ciphertext, reply.name

    def unwrap(self, wrapped: bytes, key_version: str, associated: bytes, /) -> bytes:
        """
        Raises:
            SecretUnreadable: wrapped by another key, for another binding, or by a version that is disabled or gone.
            SecretsUnavailable: Cloud KMS cannot be reached or refuses.
        """
        # Only our own key is asked: whoever can write the table must not choose who decrypts.
        if not key_version.startswith(f"{self._key_name}/cryptoKeyVersions/"):
            raise SecretUnreadable(
                f"the data key was wrapped by {key_version[:200]!r}, not by {self._key_name}",
                hint="Set KMS_BACKEND and KMS_KEY_NAME as they were, or store the credential again.",
            )
        request = {
            "name": self._key_name,
            "ciphertext": wrapped,
            "ciphertext_crc32c": _checksum(wrapped),
            "additional_authenticated_data": associated,
            "additional_authenticated_data_crc32c": _checksum(associated),
        }
        with self._calling(key_version) as client:
            reply = client.decrypt(
                request=request, retry=build_retry(self._patience), timeout=self._patience.total_seconds()
            )
        if reply.plaintext_crc32c != _checksum(reply.plaintext):
            raise _damaged()
        return reply.plaintext

    @contextmanager
    def _calling(self, key_version: str | None = None) -> Iterator[KeyManagementServiceClient]:
        from google.api_core import exceptions as google

        with translating(f"Cloud KMS key {self._key_name}", ROLE):
            try:
                yield self._connected()
            except google.FailedPrecondition as error:
                raise self._unusable(key_version) from error
            except google.InvalidArgument as error:
                if key_version is None:
                    raise
                # Its text may quote what was sent.
                raise SecretUnreadable("the data key does not open for this binding") from error

    def _unusable(self, key_version: str | None) -> SecretUnreadable | SecretsUnavailable:
        if key_version is None:
            return SecretsUnavailable(
                f"the primary version of Cloud KMS key {self._key_name} is disabled or destroyed",
                hint="Enable it, or make another version primary.",
            )
        return SecretUnreadable(
            f"{key_version} is disabled or destroyed",
            hint="Enable or restore the version in Cloud KMS; once it is destroyed, store the credential again.",
        )

    def _connected(self) -> KeyManagementServiceClient:
        with self._opening:
            if self._client is None:
                from google.cloud.kms_v1 import KeyManagementServiceClient

                self._client = KeyManagementServiceClient()
            return self._client


def _checksum(data: bytes) -> int:
    import google_crc32c

    checksum: int = google_crc32c.value(data)
    return checksum


def _damaged() -> SecretsUnavailable:
    return SecretsUnavailable("what Cloud KMS sent or got was damaged on the way", hint="Try again.")
