"""Creates or widens the platform's dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from convergence.organizations import Organizations, require_platform_run
from convergence.steps import StepContext, StepResult


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Engine:
    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:  # noqa: ARG002 - the protocol
        require_platform_run(context)
        force = context.parameters.get("force_recreate_dataset", False) is True
        result = await Organizations.of(context).bootstrap(force_recreate_dataset=force)
        return StepResult(
            metadata={
                "dataset": context.platform.dataset.name,
                "tables_created": list(result.tables_created),
                "tables_existing": list(result.tables_existing),
            }
        )


def get_engine() -> Engine:
    return Engine()
