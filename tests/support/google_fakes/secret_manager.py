"""Secret Manager: secrets with versions, of which the newest is `latest`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import google_crc32c
import grpc
from google.cloud import secretmanager_v1
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
    SecretManagerServiceGrpcAsyncIOTransport,
    SecretManagerServiceGrpcTransport,
)

from google_fakes.kit import serving


class FakeSecretManager:
    """Versions by the secret's full name; None is a version that is disabled."""

    def __init__(self) -> None:
        self.versions: dict[str, list[bytes | None]] = {}
        self.refuse: tuple[grpc.StatusCode, str] | None = None
        self.damage = False

    def add(self, secret: str, content: bytes | None) -> None:
        self.versions.setdefault(secret, []).append(content)

    def AccessSecretVersion(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 (the RPC's name)
        if self.refuse:
            context.abort(*self.refuse)
        secret, _, version = request.name.rpartition("/versions/")
        versions = self.versions.get(secret)
        if version != "latest" or not versions:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Secret [{secret}] not found or has no versions.")
        name = f"{secret}/versions/{len(versions)}"
        content = versions[-1]
        if content is None:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"Secret Version [{name}] is in DISABLED state.")
        checksum = google_crc32c.value(content) ^ self.damage
        return secretmanager_v1.AccessSecretVersionResponse(
            name=name, payload=secretmanager_v1.SecretPayload(data=content, data_crc32c=checksum)
        )


@contextmanager
def serving_secrets(fake: FakeSecretManager) -> Iterator[secretmanager_v1.SecretManagerServiceClient]:
    """The real client of a fake service."""
    with (
        serving((SecretManagerServiceGrpcAsyncIOTransport, fake)) as address,
        grpc.insecure_channel(address) as channel,
    ):
        transport = SecretManagerServiceGrpcTransport(channel=channel)
        yield secretmanager_v1.SecretManagerServiceClient(transport=transport)
