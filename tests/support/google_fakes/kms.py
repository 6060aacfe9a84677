"""Cloud KMS: symmetric keys with versions, associated data, and both ways' checksums."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import google_crc32c
import grpc
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.cloud import kms_v1
from google.cloud.kms_v1.services.key_management_service.transports import (
    KeyManagementServiceGrpcAsyncIOTransport,
    KeyManagementServiceGrpcTransport,
)

from google_fakes.kit import serving

NONCE_BYTES = 12


class FakeKms:
    """Keys by name, each a list of versions; `refuse` makes an RPC fail, `damage` flips a byte of what it answers."""

    def __init__(self, *key_names: str) -> None:
        self.versions = {name: [AESGCM.generate_key(256)] for name in key_names}
        self.disabled: set[str] = set()
        self.calls: Counter[str] = Counter()
        self.associated: list[bytes] = []
        self.refuse: tuple[grpc.StatusCode, str] | None = None
        self._once: tuple[grpc.StatusCode, str] | None = None
        self.damage = False
        self.deaf = False  # loses what it was sent before it looks at it

    def refuse_once(self, refusal: tuple[grpc.StatusCode, str]) -> None:
        self._once = refusal

    def rotate(self, key_name: str) -> str:
        """What the schedule of a key does: a new version becomes primary."""
        self.versions[key_name].append(AESGCM.generate_key(256))
        return self.version_name(key_name)

    def version_name(self, key_name: str, number: int | None = None) -> str:
        return f"{key_name}/cryptoKeyVersions/{number or len(self.versions[key_name])}"

    def Encrypt(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 (the RPC's name)
        versions = self._meet("Encrypt", request, context)
        name = self.version_name(request.name)
        self._check_enabled(name, context)
        nonce = os.urandom(NONCE_BYTES)
        sealed = AESGCM(versions[-1]).encrypt(nonce, request.plaintext, request.additional_authenticated_data)
        ciphertext = len(versions).to_bytes(2, "big") + nonce + sealed
        return kms_v1.EncryptResponse(
            name=name,
            ciphertext=self._damaged(ciphertext),
            ciphertext_crc32c=google_crc32c.value(ciphertext),
            verified_plaintext_crc32c="plaintext_crc32c" in request and not self.deaf,
            verified_additional_authenticated_data_crc32c="additional_authenticated_data_crc32c" in request,
        )

    def Decrypt(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 (the RPC's name)
        versions = self._meet("Decrypt", request, context)
        number = int.from_bytes(request.ciphertext[:2], "big")
        nonce, sealed = request.ciphertext[2 : 2 + NONCE_BYTES], request.ciphertext[2 + NONCE_BYTES :]
        self._check_enabled(self.version_name(request.name, number), context)
        try:
            plaintext = AESGCM(versions[number - 1]).decrypt(nonce, sealed, request.additional_authenticated_data)
        except (InvalidTag, IndexError, ValueError):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Decryption failed: the ciphertext is invalid.")
        return kms_v1.DecryptResponse(
            plaintext=self._damaged(plaintext), plaintext_crc32c=google_crc32c.value(plaintext)
        )

    def _meet(self, rpc: str, request: Any, context: grpc.ServicerContext) -> list[bytes]:
        self.calls[rpc] += 1
        once, self._once = self._once, None
        if once:
            context.abort(*once)
        self.associated.append(request.additional_authenticated_data)
        if self.refuse:
            context.abort(*self.refuse)
        if request.name not in self.versions:
            context.abort(grpc.StatusCode.NOT_FOUND, f"CryptoKey {request.name} not found.")
        return self.versions[request.name]

    def _check_enabled(self, version_name: str, context: grpc.ServicerContext) -> None:
        if version_name in self.disabled:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{version_name} is not enabled.")

    def _damaged(self, data: bytes) -> bytes:
        return bytes([data[0] ^ 1]) + data[1:] if self.damage else data


@contextmanager
def serving_kms(fake: FakeKms) -> Iterator[kms_v1.KeyManagementServiceClient]:
    """The real client of a fake service."""
    with (
        serving((KeyManagementServiceGrpcAsyncIOTransport, fake)) as address,
        grpc.insecure_channel(address) as channel,
    ):
        yield kms_v1.KeyManagementServiceClient(transport=KeyManagementServiceGrpcTransport(channel=channel))
