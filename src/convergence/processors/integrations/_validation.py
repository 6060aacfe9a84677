"""Asking a provider whether it accepts a credential: the one the caller gives, or the one that is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convergence.integrations import Integrations, given_credential
from convergence.steps import StepContext, StepResult


class ValidationEngine:
    """Asks one provider."""

    def __init__(self, provider: str) -> None:
        self._provider = provider

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:  # noqa: ARG002 - the protocol
        integrations = Integrations.of(context)
        credential = given_credential(context)
        if credential is None:
            return await self._validate_stored(integrations, context)
        metadata = context.parameters.get("metadata")
        validation = await integrations.check(context.tenant, self._provider, credential, metadata)
        return StepResult(
            metadata={
                "provider": integrations.find(self._provider).name,
                "validation_status": "VALID",
                "is_asked": validation.is_asked,
                "account": dict(validation.account),
            },
            warnings=validation.warnings,
        )

    async def _validate_stored(self, integrations: Integrations, context: StepContext) -> StepResult:
        integration, warnings = await integrations.validate(context.tenant, self._provider)
        return StepResult(
            metadata={
                "provider": integration.provider,
                "validation_status": str(integration.status),
                "fingerprint": integration.fingerprint,
                "last_error": integration.last_error,
            },
            warnings=warnings,
        )
