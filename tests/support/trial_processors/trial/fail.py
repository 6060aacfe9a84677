"""Fails as told, the first `times` times."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from convergence.errors import LeaseLost, ProviderUnavailable, StepFailed
from convergence.steps import StepContext, StepResult


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["terminal", "transient", "broken", "lease"]
    times: int = 1_000
    retry_after: float | None = None


class Engine:
    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        tried = await context.state.count(f"trial/{context.run.run_id}/{context.step_id}", 1)
        if tried > config.times:
            return StepResult(1)
        if config.kind == "transient":
            raise ProviderUnavailable("the provider is away", retry_after=config.retry_after)
        if config.kind == "terminal":
            raise StepFailed("it cannot be done with sk-admin-CANARYCANARYCANARYCANARY")
        if config.kind == "lease":
            raise LeaseLost("taken")
        raise ValueError("sk-admin-CANARYCANARYCANARYCANARY is not a number")


def get_engine() -> Engine:
    return Engine()
