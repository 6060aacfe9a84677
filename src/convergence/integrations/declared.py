"""Providers that no code knows: a pipeline says where they are and how a credential is tried."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from convergence.catalog.sources import Source, ValidationRequest
from convergence.connectors.paginators import read_path
from convergence.connectors.sources import open_source
from convergence.errors import CredentialInvalid, InvalidRequest, ProviderRejected
from convergence.integrations.models import PROVIDERS, Provider, Validation
from convergence.security import redact

if TYPE_CHECKING:
    from convergence.catalog import Catalog
    from convergence.connectors import HttpPool, Page

_FOLDER: Final = re.compile(r"[a-z][a-z0-9_]{0,49}", re.ASCII)  # it names tables too
_OURS: Final = frozenset(provider.folder for provider in PROVIDERS)


def declared_providers(catalog: Catalog) -> list[Provider]:
    """The providers of pipelines with a source, by name; those that code knows are not among them."""
    folders = {pipeline.provider for pipeline in catalog.pipelines() if pipeline.source is not None}
    return [Provider(folder.upper(), folder) for folder in sorted(folders - _OURS) if _FOLDER.fullmatch(folder)]


def find_source(catalog: Catalog, provider: Provider) -> Source | None:
    """The source that a provider's pipelines declare: one with a validation request, if any has."""
    declared = [one.source for one in catalog.pipelines() if one.provider == provider.folder and one.source is not None]
    return next((source for source in declared if source.validation is not None), declared[0] if declared else None)


@dataclass(frozen=True, slots=True)
class SourceValidator:
    """Tries a credential with the request that the source declares, and nothing else."""

    provider: Provider
    source: Source

    async def check_place(
        self, http: HttpPool, org_slug: str, credential: str, metadata: Mapping[str, Any], *, now: datetime
    ) -> Validation:
        """
        Raises:
            CredentialInvalid: the provider refuses it, or it or the metadata is not what the source takes.
            ProviderUnavailable: the provider could not be asked.
        """
        del now
        try:
            base_url = self.source.locate(metadata)
            client = open_source(http, org_slug, self.provider.folder, self.source, credential, base_url=base_url)
        except (ValueError, InvalidRequest) as error:
            raise _refuse(str(error), "Nothing was stored.") from None
        asked = self.source.validation
        if asked is None:
            warning = f"{self.provider.name} was not asked about the credential: its source has no request for that"
            return Validation(warnings=(warning,), is_asked=False)
        try:
            page = await client.get(asked.path, tuple(asked.params.items()))
        except ProviderRejected as error:
            if error.status not in (401, 403):
                raise
            raise _refuse(error.message, "Give a credential that the provider accepts for this request.") from None
        return Validation(account=_read_account(asked, page))


def _read_account(asked: ValidationRequest, page: Page) -> dict[str, Any]:
    found = {name: read_path(page.envelope, path) for name, path in asked.account.items()}
    return {name: value for name, value in found.items() if isinstance(value, str | int)}


def _refuse(message: str, hint: str) -> CredentialInvalid:
    return CredentialInvalid(redact(message), hint=hint, fields={"validation_status": "INVALID"})
