"""Rows of sealed credentials. Never sees a secret."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from convergence.integrations.models import IntegrationStatus, StoredCredential
from convergence.kit.jsontext import dumps, loads
from convergence.sql import Parameter, Statement
from convergence.tenancy import OrgScope, PlatformScope
from convergence.warehouse import Warehouse, WriteMode, erasing

if TYPE_CHECKING:
    import pyarrow as pa

    from convergence.catalog import Catalog

_TABLE: Final = "org_integration_credentials"
_COLUMNS: Final = ", ".join(field.name for field in fields(StoredCredential))


class CredentialStore:
    """One row for each organization and provider; every method takes the organization first and filters on it."""

    def __init__(self, warehouse: Warehouse, platform: PlatformScope, catalog: Catalog) -> None:
        self._warehouse = warehouse
        self._platform = platform
        self._catalog = catalog

    async def all(self, org: OrgScope) -> list[StoredCredential]:
        rows = await self._rows(
            f"SELECT {_COLUMNS} FROM {_TABLE} WHERE org_slug = @org_slug ORDER BY provider", org_slug=org.org_slug
        )
        return [_credential(row) for row in rows]

    async def find(self, org: OrgScope, provider: str) -> StoredCredential | None:
        rows = await self._rows(
            f"SELECT {_COLUMNS} FROM {_TABLE} WHERE org_slug = @org_slug AND provider = @provider",
            org_slug=org.org_slug,
            provider=provider,
        )
        return _credential(rows[0]) if rows else None

    async def every(self) -> list[StoredCredential]:
        """Of all organizations: only for the platform's own upkeep."""
        rows = await self._rows(f"SELECT {_COLUMNS} FROM {_TABLE} ORDER BY org_slug, provider")
        return [_credential(row) for row in rows]

    def erasing(self) -> AbstractAsyncContextManager[None]:
        """What is replaced inside leaves no bytes in any file of the warehouse."""
        return erasing(self._warehouse, self._platform.dataset)

    async def rewrap(self, credential: StoredCredential, ciphertext: str) -> None:
        """The same secret under another key version, unless the credential was replaced meanwhile."""
        await self._execute(
            f"UPDATE {_TABLE} SET ciphertext = @ciphertext WHERE org_slug = @org_slug AND provider = @provider"
            " AND credential_id = @credential_id AND version = @version",
            ciphertext=ciphertext,
            org_slug=credential.org_slug,
            provider=credential.provider,
            credential_id=credential.credential_id,
            version=credential.version,
        )

    async def add(self, credential: StoredCredential) -> None:
        """Write the row of a provider that has none."""
        await self._write(credential)

    async def replace(self, credential: StoredCredential) -> None:
        """Write the row; no file of the warehouse holds the ciphertext of an earlier version after that."""
        async with self.erasing():
            await self._write(credential)

    async def record_validation(
        self, credential: StoredCredential, *, status: IntegrationStatus, error: str | None, now: datetime
    ) -> None:
        """Note the outcome, unless the credential was replaced meanwhile."""
        await self._execute(
            f"UPDATE {_TABLE} SET status = @status, last_error = @error, last_validated_at = @now, updated_at = @now"
            " WHERE org_slug = @org_slug AND provider = @provider AND credential_id = @credential_id"
            " AND version = @version",
            org_slug=credential.org_slug,
            provider=credential.provider,
            credential_id=credential.credential_id,
            version=credential.version,
            status=str(status),
            error=error,
            now=now,
        )

    async def delete(self, org: OrgScope, provider: str) -> bool:
        """Whether there was a row; no file of the warehouse holds its ciphertext after that."""
        if await self.find(org, provider) is None:
            return False
        async with self.erasing():
            changed = await self._execute(
                f"DELETE FROM {_TABLE} WHERE org_slug = @org_slug AND provider = @provider",
                org_slug=org.org_slug,
                provider=provider,
            )
        return changed > 0

    async def _write(self, credential: StoredCredential) -> None:
        await self._warehouse.load(
            self._platform.table(_TABLE),
            self._batches(credential),
            mode=WriteMode.MERGE,
            keys=("org_slug", "provider"),
        )

    async def _rows(self, sql: str, **parameters: Parameter) -> list[dict[str, Any]]:
        table = await self._warehouse.query(Statement(sql, self._platform.dataset, parameters))
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows

    async def _execute(self, sql: str, **parameters: Parameter) -> int:
        return await self._warehouse.execute(Statement(sql, self._platform.dataset, parameters))

    async def _batches(self, credential: StoredCredential) -> AsyncIterator[pa.RecordBatch]:
        import pyarrow as pa

        from convergence.warehouse.arrow import build_arrow_schema

        row = {field.name: getattr(credential, field.name) for field in fields(credential)}
        row |= {"status": str(credential.status), "metadata": dumps(dict(credential.metadata))}
        yield pa.RecordBatch.from_pylist([row], schema=build_arrow_schema(self._catalog.schema(_TABLE)))


def _credential(row: dict[str, Any]) -> StoredCredential:
    status = IntegrationStatus(row["status"])
    return StoredCredential(**{**row, "status": status, "metadata": loads(row["metadata"] or "{}")})
