"""Asks OpenAI whether it accepts a credential: the one the caller gives, or the one that is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from convergence.integrations import Integrations, given_credential
from convergence.steps import StepContext, StepResult


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Engine:
    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:  # noqa: ARG002 - the protocol
        integrations = Integrations.of(context)
        credential = given_credential(context)
        if credential is None:
            return await _validate_stored(integrations, context)
        validation = await integrations.check(context.tenant, "openai", credential)
        return StepResult(
            metadata={"provider": "OPENAI", "validation_status": "VALID", "account": dict(validation.account)},
            warnings=validation.warnings,
        )


async def _validate_stored(integrations: Integrations, context: StepContext) -> StepResult:
    integration, warnings = await integrations.validate(context.tenant, "openai")
    return StepResult(
        metadata={
            "provider": integration.provider,
            "validation_status": str(integration.status),
            "fingerprint": integration.fingerprint,
            "last_error": integration.last_error,
        },
        warnings=warnings,
    )


def get_engine() -> Engine:
    return Engine()
