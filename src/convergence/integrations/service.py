"""Setting providers up: ask the provider first, store what it accepts, sealed for its organization."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from convergence.errors import (
    CredentialInvalid,
    Denied,
    InvalidRequest,
    NotFound,
    ProviderUnavailable,
    StepFailed,
)
from convergence.integrations.declared import SourceValidator, declared_providers, find_source
from convergence.integrations.models import (
    PROVIDERS,
    Integration,
    IntegrationStatus,
    Provider,
    ProviderAllowance,
    StoredCredential,
    Validation,
    find_provider,
)
from convergence.integrations.store import CredentialStore
from convergence.integrations.validators import PlacedValidator, Validator, load_validator
from convergence.kit.clock import Clock
from convergence.kit.ids import new_id
from convergence.kit.jsontext import dumps
from convergence.security import Binding, Security, redact, redact_value
from convergence.state import StateStore, take_turn
from convergence.steps import StepContext
from convergence.tenancy import OrgScope, PlatformScope
from convergence.warehouse import Warehouse

if TYPE_CHECKING:
    from convergence.catalog import Catalog
    from convergence.connectors import HttpPool

VALIDATION_TIMEOUT: Final = timedelta(seconds=30)
_MAX_CREDENTIAL_BYTES: Final = 64 * 1024
_MAX_METADATA_BYTES: Final = 8 * 1024
_MAX_NAME_LENGTH: Final = 100


class Integrations:
    """Credentials of organizations at providers."""

    def __init__(
        self,
        warehouse: Warehouse,
        platform: PlatformScope,
        security: Security,
        state: StateStore,
        http: HttpPool,
        clock: Clock,
        catalog: Catalog,
    ) -> None:
        self._store = CredentialStore(warehouse, platform, catalog)
        self._vault = security.vault
        self._state = state
        self._http = http
        self._clock = clock
        self._catalog = catalog

    @classmethod
    def of(cls, context: StepContext) -> Integrations:
        """With what a step is given."""
        return cls(
            context.warehouse,
            context.platform,
            context.security,
            context.state,
            context.http,
            context.clock,
            context.catalog,
        )

    def find(self, text: str) -> Provider:
        """A provider by any of its names, in any case.

        Raises:
            NotFound: neither code nor a pipeline's source knows it.
        """
        try:
            return find_provider(text)
        except NotFound:
            return find_provider(text, declared_providers(self._catalog))

    async def setup(
        self,
        org: OrgScope,
        provider: str,
        credential: str,
        credential_name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        allowance: ProviderAllowance | None = None,
    ) -> tuple[Integration, tuple[str, ...]]:
        """Check a credential with its provider and store it; the integration, and warnings.

        Raises:
            CredentialInvalid: the provider refuses it; nothing was stored.
            ProviderUnavailable: the provider cannot be asked; nothing was stored.
            Denied: the plan allows no further provider; nothing was stored.
            UnsupportedError: this version cannot set the provider up.
        """
        validation = await self.check(org, provider, credential, metadata)
        return await self.store(
            org,
            provider,
            credential,
            validation,
            credential_name=credential_name,
            metadata=metadata,
            allowance=allowance,
        )

    async def check(
        self, org: OrgScope, provider: str, credential: str, metadata: Mapping[str, Any] | None = None
    ) -> Validation:
        """Ask the provider whether it accepts a credential, for what `metadata` names. Stores nothing.

        Raises:
            CredentialInvalid, ProviderUnavailable, UnsupportedError: as `setup`.
        """
        validator = self._validator(known := self.find(provider))
        _check_credential(credential)
        try:
            async with asyncio.timeout(VALIDATION_TIMEOUT.total_seconds()):
                now = self._clock.now()
                if isinstance(validator, PlacedValidator):
                    return await validator.check_place(self._http, org.org_slug, credential, metadata or {}, now=now)
                return await validator.check(self._http, org.org_slug, credential, now=now)
        except TimeoutError:
            raise ProviderUnavailable(
                f"{known.name} did not answer in time", code="provider_timeout", hint="Nothing was stored; try again."
            ) from None

    async def store(
        self,
        org: OrgScope,
        provider: str,
        credential: str,
        validation: Validation,
        *,
        credential_name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        allowance: ProviderAllowance | None = None,
    ) -> tuple[Integration, tuple[str, ...]]:
        """Seal and store a credential that its provider has accepted; an earlier one is gone for good.

        Raises:
            Denied: the plan allows no further provider; nothing was stored.
        """
        known = self.find(provider)
        _check_given(credential_name, metadata)
        async with self._changing(org):
            held = await self._store.find(org, known.name)
            await self._check_allowance(org, known, allowance)
            stored = await self._seal(org, known, credential.strip(), held)
            stored = replace(
                stored,
                credential_name=credential_name or (held.credential_name if held else None) or known.folder,
                metadata={"account": dict(validation.account), "given": redact_value(dict(metadata or {}))},
                last_validated_at=stored.last_validated_at if validation.is_asked else None,
            )
            await (self._store.replace(stored) if held else self._store.add(stored))
        return stored.shown, validation.warnings + _account_warnings(known, held, validation)

    async def validate(self, org: OrgScope, provider: str) -> tuple[Integration, tuple[str, ...]]:
        """Ask the provider about the stored credential and note what it says; the integration, and warnings.

        A refusal is an answer here: status INVALID with the reason. A provider that cannot be asked changes nothing.

        Raises:
            NotFound: none is stored.
            ProviderUnavailable: the provider cannot be asked.
        """
        known = self.find(provider)
        held = await self._require(org, known)
        status, error = IntegrationStatus.VALID, None
        warnings: tuple[str, ...] = ()
        try:
            validation = await self.check(org, known.name, await self._open(held), held.given)
            warnings = validation.warnings + _account_warnings(known, held, validation)
            if not validation.is_asked:
                return held.shown, warnings
        except CredentialInvalid as refusal:
            status, error = IntegrationStatus.INVALID, redact(f"{refusal.message}. {refusal.hint or ''}".strip())
        now = self._clock.now()
        await self._store.record_validation(held, status=status, error=error, now=now)
        return replace(held.shown, status=status, last_error=error, last_validated_at=now), warnings

    async def list(self, org: OrgScope) -> dict[str, Integration]:
        """Every provider by name, set up or not."""
        held = {credential.provider: credential.shown for credential in await self._store.all(org)}
        known = [provider.name for provider in (*PROVIDERS, *declared_providers(self._catalog))]
        return {name: held.get(name, Integration(name)) for name in dict.fromkeys((*known, *held))}

    async def show(self, org: OrgScope, provider: str) -> Integration:
        known = self.find(provider)
        held = await self._store.find(org, known.name)
        return Integration(known.name) if held is None else held.shown

    async def delete(self, org: OrgScope, provider: str) -> Provider:
        """Remove the ciphertext for good: from the table, and from the bytes of the files behind it.

        A provider whose pipelines are gone is found as long as a credential of it is stored.

        Raises:
            NotFound: none is stored.
        """
        held = [Provider(one.provider, one.provider.casefold()) for one in await self._store.all(org)]
        known = find_provider(provider, [*declared_providers(self._catalog), *held])
        async with self._changing(org):
            if not await self._store.delete(org, known.name):
                raise _not_configured(org, known)
        return known

    async def reveal(self, org: OrgScope, provider: str, /) -> str:
        """The secret text; from then on it is masked in every log line of this process.

        Raises:
            StepFailed: none is stored, or it was refused at its last validation.
            SecretUnreadable: it was sealed for another organization or by another key.
        """
        known = self.find(provider)
        held = await self._store.find(org, known.name)
        if held is None:
            raise StepFailed(
                f"{org.org_slug} has no {known.name} integration",
                code="integration_missing",
                hint=f"Set it up: POST /integrations/{org.org_slug}/{known.folder}/setup.",
            )
        if held.status is not IntegrationStatus.VALID:
            raise StepFailed(
                f"the {known.name} credential of {org.org_slug} was refused: {held.last_error}",
                code="integration_invalid",
                hint=f"Set it up again: POST /integrations/{org.org_slug}/{known.folder}/setup.",
            )
        return await self._open(held)

    async def given(self, org: OrgScope, provider: str, /) -> Mapping[str, Any]:
        """The metadata that the provider was set up with; nothing where it is not set up."""
        held = await self._store.find(org, self.find(provider).name)
        return held.given if held else {}

    async def fingerprint(self, org: OrgScope, provider: str) -> str:
        """Open the stored credential, which proves that it can be opened, and tell only its fingerprint.

        Raises:
            StepFailed, SecretUnreadable: as `reveal`.
        """
        return self._vault.fingerprint(await self.reveal(org, provider))

    async def valid_providers(self, org: OrgScope) -> frozenset[str]:
        """Folders of the providers whose credential was valid when last asked: what the scheduler may run."""
        valid = {held.provider for held in await self._store.all(org) if held.status is IntegrationStatus.VALID}
        known = (*PROVIDERS, *declared_providers(self._catalog))
        return frozenset(provider.folder for provider in known if provider.name in valid)

    def _validator(self, provider: Provider) -> Validator | PlacedValidator:
        source = None if provider.is_built_in else find_source(self._catalog, provider)
        return load_validator(provider) if source is None else SourceValidator(provider, source)

    async def _seal(
        self, org: OrgScope, provider: Provider, credential: str, held: StoredCredential | None
    ) -> StoredCredential:
        now = self._clock.now()
        credential_id = held.credential_id if held else new_id("credential")
        version = held.version + 1 if held else 1
        binding = Binding(org.org_slug, provider.name, credential_id, version=version)
        return StoredCredential(
            org_slug=org.org_slug,
            provider=provider.name,
            credential_id=credential_id,
            version=version,
            credential_name=None,
            ciphertext=await asyncio.to_thread(self._vault.seal, credential, binding),
            fingerprint=self._vault.fingerprint(credential),
            status=IntegrationStatus.VALID,
            metadata={},
            last_validated_at=now,
            last_error=None,
            created_at=now,
            updated_at=now,
        )

    async def _open(self, held: StoredCredential) -> str:
        return await asyncio.to_thread(self._vault.open, held.ciphertext, held.binding)

    async def _require(self, org: OrgScope, provider: Provider) -> StoredCredential:
        held = await self._store.find(org, provider.name)
        if held is None:
            raise _not_configured(org, provider)
        return held

    async def _check_allowance(self, org: OrgScope, provider: Provider, allowance: ProviderAllowance | None) -> None:
        if allowance is None:
            return
        others = {held.provider for held in await self._store.all(org)} - {provider.name}
        if len(others) >= allowance.providers:
            raise Denied(
                f"plan {allowance.plan} allows {allowance.providers} providers, and as many are set up:"
                f" {', '.join(sorted(others))}",
                code="provider_limit",
                hint="Remove an integration, or change to a larger plan.",
            )

    def _changing(self, org: OrgScope) -> AbstractAsyncContextManager[None]:
        """One change of an organization's integrations at a time: versions and the plan's limit are counted."""
        key = f"{org.org_slug}/integrations"
        return take_turn(self._state, self._clock, key, f"what {org.org_slug} has set up")


def given_credential(context: StepContext) -> str | None:
    """The credential that the caller of an inline run gave; it lives in that run only and is recorded nowhere."""
    credential = context.parameters.get("credential")
    if credential is not None and not isinstance(credential, str):
        raise InvalidRequest("credential is not text", code="credential_invalid_type", hint="Send it as a string.")
    return credential


def _check_credential(credential: str) -> None:
    if not credential.strip():
        raise InvalidRequest("credential is empty", code="credential_empty", hint="Give the provider's key.")
    if len(credential.encode(errors="replace")) > _MAX_CREDENTIAL_BYTES:
        raise InvalidRequest("credential is longer than 64 KiB", code="credential_too_long")


def _check_given(credential_name: str | None, metadata: Mapping[str, Any] | None) -> None:
    faults = []
    if credential_name is not None and (len(credential_name) > _MAX_NAME_LENGTH or not credential_name.isprintable()):
        faults.append(f"credential_name is not up to {_MAX_NAME_LENGTH} printable characters")
    if len(dumps(dict(metadata or {}))) > _MAX_METADATA_BYTES:
        faults.append("metadata is larger than 8 KiB")
    if faults:
        raise InvalidRequest("; ".join(faults), fields={"faults": faults})


def _account_warnings(provider: Provider, held: StoredCredential | None, validation: Validation) -> tuple[str, ...]:
    """A key of another account is valid too, and reads zero where there were costs."""
    account = (held.metadata.get("account") or {}) if held else {}
    for name, what in (("project_ids", "projects"), ("owner_ids", "owners")):
        before, now = set(account.get(name) or ()), set(validation.account.get(name) or ())
        if before and not now & before:
            found = f"this {provider.name} key sees none of the {len(before)} {what} that were there when it was set up"
            return (f"{found}: it may belong to another account",)
    if account.get("id") not in (None, validation.account.get("id")):
        return (f"this {provider.name} key belongs to another account than the one that was set up",)
    return ()


def _not_configured(org: OrgScope, provider: Provider) -> NotFound:
    return NotFound(
        f"{org.org_slug} has no {provider.name} integration",
        code="integration_not_found",
        hint=f"Set it up: POST /integrations/{org.org_slug}/{provider.folder}/setup.",
    )
