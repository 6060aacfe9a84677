"""Tells whether an organization could be onboarded; creates nothing."""

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
        result = await Organizations.of(context).dryrun(read_request(context.parameters))
        return StepResult(
            metadata={
                "status": result.status,
                "ready_for_onboarding": result.ready_for_onboarding,
                "checks": [asdict(check) for check in result.checks],
            }
        )


def get_engine() -> Engine:
    return Engine()
