"""Proves that the stored credential opens here; gives away its fingerprint and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from convergence.integrations import Integrations
from convergence.steps import StepContext, StepResult


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str


class Engine:
    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        integrations = Integrations.of(context)
        provider = integrations.find(Config.model_validate(step_config).provider)
        fingerprint = await integrations.fingerprint(context.tenant, provider.name)
        return StepResult(metadata={"provider": provider.name, "fingerprint": fingerprint})


def get_engine() -> Engine:
    return Engine()
