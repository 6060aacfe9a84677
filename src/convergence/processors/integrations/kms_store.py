"""Seals a credential that an earlier step has validated, and stores it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from convergence.errors import StepFailed
from convergence.integrations import Integrations, ProviderAllowance, Validation, given_credential
from convergence.organizations import Organizations
from convergence.steps import StepContext, StepResult


class Config(BaseModel):
    """`validated_by` is the step whose outcome proves that the provider accepts the credential."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str
    validated_by: str = "validate_credential"


class Engine:
    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        plan = await Organizations.of(context).plan(context.tenant)
        integration, warnings = await Integrations.of(context).store(
            context.tenant,
            config.provider,
            _credential(context),
            _validation(config, context),
            credential_name=context.parameters.get("credential_name"),
            metadata=context.parameters.get("metadata"),
            allowance=ProviderAllowance(plan.name, plan.providers),
        )
        return StepResult(
            metadata={
                "provider": integration.provider,
                "validation_status": str(integration.status),
                "credential_name": integration.credential_name,
                "fingerprint": integration.fingerprint,
            },
            warnings=warnings,
        )


def _credential(context: StepContext) -> str:
    credential = given_credential(context)
    if credential is None:
        raise StepFailed("there is no credential to store", hint="Set integrations up through the API or the CLI.")
    return credential


def _validation(config: Config, context: StepContext) -> Validation:
    outcome = context.outputs.get(config.validated_by, {})
    provider = Integrations.of(context).find(config.provider).name
    if outcome.get("validation_status") != "VALID" or outcome.get("provider") != provider:
        raise StepFailed(
            f"step {config.validated_by} has not validated a {provider} credential; nothing was stored",
            hint="Let it run before this step, with depends_on.",
        )
    return Validation(account=outcome.get("account", {}), is_asked=outcome.get("is_asked", True))


def get_engine() -> Engine:
    return Engine()
