"""Providers, and what an organization has set up of them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from convergence.errors import NotFound
from convergence.security import Binding


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider by its two names: `name` in tables and answers, `folder` in configs, base URLs and files."""

    name: str
    folder: str
    aliases: frozenset[str] = frozenset()

    def is_called(self, text: str) -> bool:
        return text in {self.name.casefold(), self.folder} or text in self.aliases

    @property
    def is_built_in(self) -> bool:
        """Whether code knows it; else a pipeline's source is all that is known."""
        return self in PROVIDERS


PROVIDERS: Final = (
    Provider("OPENAI", "openai"),
    Provider("ANTHROPIC", "anthropic", frozenset({"claude"})),
    Provider("DEEPSEEK", "deepseek"),
    Provider("CURSOR", "cursor"),
    Provider("GCP_SA", "gcp"),
    Provider("GOOGLE_SHEETS", "google_sheets"),
)


def find_provider(text: str, declared: Sequence[Provider] = ()) -> Provider:
    """A provider by any of its names, in any case: one that code knows, or one of the declared.

    Raises:
        NotFound: there is none; near names are given.
    """
    wanted = text.casefold()
    for provider in (*PROVIDERS, *declared):
        if provider.is_called(wanted):
            return provider
    folders = [provider.folder for provider in (*PROVIDERS, *declared)]
    near = difflib.get_close_matches(wanted, folders, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"One of {', '.join(folders)}."
    raise NotFound(f"there is no provider {text[:50]!r}", code="provider_unknown", hint=hint)


class IntegrationStatus(StrEnum):
    VALID = "VALID"
    INVALID = "INVALID"
    NOT_CONFIGURED = "NOT_CONFIGURED"


@dataclass(frozen=True, slots=True)
class Validation:
    """What a provider said of a credential it accepts. `account` tells whose it is, and is kept to compare.

    A provider that offers no way to ask was not asked; whoever declared it allows that.
    """

    account: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    is_asked: bool = True


@dataclass(frozen=True, slots=True)
class Integration:
    """An integration as it is shown: never the credential."""

    provider: str
    status: IntegrationStatus = IntegrationStatus.NOT_CONFIGURED
    credential_name: str | None = None
    fingerprint: str | None = None
    last_validated_at: datetime | None = None
    last_error: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProviderAllowance:
    """How many providers the plan lets an organization set up."""

    plan: str
    providers: int


@dataclass(frozen=True, slots=True)
class StoredCredential:
    """A row of org_integration_credentials."""

    org_slug: str
    provider: str
    credential_id: str
    version: int
    credential_name: str | None
    ciphertext: str = field(repr=False)
    fingerprint: str
    status: IntegrationStatus
    metadata: Mapping[str, Any]
    last_validated_at: datetime | None
    last_error: str | None
    created_at: datetime
    updated_at: datetime

    @property
    def binding(self) -> Binding:
        return Binding(self.org_slug, self.provider, self.credential_id, version=self.version)

    @property
    def given(self) -> Mapping[str, Any]:
        """The metadata of whoever set it up."""
        found: Mapping[str, Any] = self.metadata.get("given") or {}
        return found

    @property
    def shown(self) -> Integration:
        return Integration(
            provider=self.provider,
            status=self.status,
            credential_name=self.credential_name,
            fingerprint=self.fingerprint,
            last_validated_at=self.last_validated_at,
            last_error=self.last_error,
            metadata=self.metadata,
        )
