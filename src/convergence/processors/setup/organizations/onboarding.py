"""Makes an organization: dataset, subscription, API key, profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, ConfigDict

from convergence.organizations import Organizations, read_request, require_platform_run
from convergence.steps import StepContext, StepResult


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Engine:
    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:  # noqa: ARG002 - the protocol
        require_platform_run(context)
        onboarded = asdict(await Organizations.of(context).onboard(read_request(context.parameters)))
        private = {"api_key": onboarded.pop("api_key")}
        return StepResult(metadata=onboarded, private=private)


def get_engine() -> Engine:
    return Engine()
