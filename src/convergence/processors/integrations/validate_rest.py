"""Tries a credential as the source of a pipeline declares it: the one the caller gives, or the one that is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from convergence.processors.integrations._validation import ValidationEngine
from convergence.steps import StepContext, StepResult


class Config(BaseModel):
    """`provider` is the folder of the pipelines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str


class Engine:
    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        return await ValidationEngine(Config.model_validate(step_config).provider).execute({}, context)


def get_engine() -> Engine:
    return Engine()
