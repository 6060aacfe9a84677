"""Credentials of an organization at its providers."""

from __future__ import annotations

from typing import Any, Final, Literal

from fastapi import APIRouter
from pydantic import JsonValue, SecretStr

from convergence.api.deps import CallerOf, OrgOf, PlatformOf
from convergence.api.fields import Answer, Body, RequestText, Time
from convergence.api.gate import Caller, GatedRoute, org_key
from convergence.api.setup import Done, run_setup
from convergence.bootstrap import Platform
from convergence.errors import NotFound, UnsupportedError
from convergence.integrations.models import Integration, IntegrationStatus, Provider
from convergence.tenancy import OrgScope

router = APIRouter(prefix="/api/v1/integrations/{org}", tags=["integrations"], route_class=GatedRoute)
_READ = [org_key("integrations:read")]
_WRITE = [org_key("integrations:write")]
_DECLARED: Final = "rest"  # the set-up of every provider that only a pipeline's source knows


class SetupBody(Body):
    """`credential` is what the provider takes: for OpenAI an Admin API key (sk-admin-...)."""

    credential: SecretStr
    credential_name: RequestText | None = None
    metadata: dict[str, JsonValue] | None = None


class SetupAnswer(Answer):
    success: Literal[True] = True
    provider: str
    validation_status: str
    credential_name: str | None
    fingerprint: str | None
    pricing_initialized: bool
    subscriptions_initialized: bool
    warnings: list[str]


class ValidationAnswer(Answer):
    """`success` tells whether the provider accepts the stored credential; `last_error` is its reason if not."""

    success: bool
    provider: str
    validation_status: str
    fingerprint: str | None
    last_error: str | None
    warnings: list[str]


class IntegrationAnswer(Answer):
    status: IntegrationStatus
    credential_name: str | None
    fingerprint: str | None
    last_validated_at: Time | None
    last_error: str | None


class IntegrationsAnswer(Answer):
    org_slug: str
    integrations: dict[str, IntegrationAnswer]


class OneIntegrationAnswer(IntegrationAnswer):
    """The integration itself, and the same under its name as the list has it."""

    org_slug: str
    provider: str
    integrations: dict[str, IntegrationAnswer]


class RemovedAnswer(Answer):
    success: Literal[True] = True
    provider: str


@router.get("", dependencies=_READ)
async def list_integrations(org: OrgOf, platform: PlatformOf) -> IntegrationsAnswer:
    """Every provider, set up or not. Never a credential: its fingerprint only."""
    found = await platform.integrations.list(org)
    shown = {name: IntegrationAnswer.model_validate(one) for name, one in found.items()}
    return IntegrationsAnswer(org_slug=org.org_slug, integrations=shown)


@router.get("/{provider}", dependencies=_READ)
async def show_integration(provider: str, org: OrgOf, platform: PlatformOf) -> OneIntegrationAnswer:
    """One provider, set up or not."""
    found: Integration = await platform.integrations.show(org, provider)
    shown = IntegrationAnswer.model_validate(found)
    return OneIntegrationAnswer(
        org_slug=org.org_slug,
        provider=found.provider,
        integrations={found.provider: shown},
        **shown.model_dump(),
    )


@router.post("/{provider}/setup", dependencies=_WRITE)
async def setup_integration(
    provider: str, body: SetupBody, org: OrgOf, platform: PlatformOf, caller: CallerOf
) -> SetupAnswer:
    """Ask the provider whether it accepts a credential; if so seal and store it, and fill the price book.

    400 `credential_invalid` with the provider's reason, or 503 where it cannot be asked: then nothing is stored.
    """
    known = platform.integrations.find(provider)
    given = body.model_dump(exclude={"credential"}, exclude_none=True)
    done = await _run(
        platform,
        known,
        "setup",
        caller=caller,
        org=org,
        private_parameters={**given, "credential": body.credential.get_secret_value()},
    )
    stored = done.outcome("setup_credential")
    prices = done.outcome("setup_prices") if done.has_step("setup_prices") else {}  # not every provider has prices
    return SetupAnswer(
        provider=known.name,
        validation_status=stored["validation_status"],
        credential_name=stored["credential_name"],
        fingerprint=stored["fingerprint"],
        pricing_initialized=prices.get("pricing_initialized", False),
        subscriptions_initialized=prices.get("subscriptions_initialized", False),
        warnings=done.warnings,
    )


@router.post("/{provider}/validate", dependencies=_WRITE)
async def validate_integration(provider: str, org: OrgOf, platform: PlatformOf, caller: CallerOf) -> ValidationAnswer:
    """Ask the provider about the stored credential again, and note its answer."""
    known = platform.integrations.find(provider)
    done = await _run(platform, known, "validate", caller=caller, org=org)
    outcome = done.outcome("validate_credential")
    return ValidationAnswer(
        success=outcome["validation_status"] == IntegrationStatus.VALID,
        provider=known.name,
        validation_status=outcome["validation_status"],
        fingerprint=outcome.get("fingerprint"),
        last_error=outcome.get("last_error"),
        warnings=done.warnings,
    )


@router.delete("/{provider}", dependencies=_WRITE)
async def remove_integration(provider: str, org: OrgOf, platform: PlatformOf) -> RemovedAnswer:
    """Remove the stored credential for good."""
    removed = await platform.integrations.delete(org, provider)
    return RemovedAnswer(provider=removed.name)


async def _run(
    platform: Platform,
    provider: Provider,
    action: str,
    *,
    caller: Caller,
    org: OrgScope,
    private_parameters: dict[str, Any] | None = None,
) -> Done:
    name = provider.folder if provider.is_built_in else _DECLARED
    pipeline_id = f"integration-{name}-{action}"
    try:
        platform.catalog.find(pipeline_id)
    except NotFound:
        raise UnsupportedError(
            f"{provider.name} cannot be set up by this version",
            code="provider_unsupported",
            hint="GET /pipelines lists what there is.",
        ) from None
    return await run_setup(
        platform,
        pipeline_id,
        caller=caller,
        org=org,
        parameters={} if provider.is_built_in else {"provider": provider.folder},
        private_parameters=private_parameters,
    )
