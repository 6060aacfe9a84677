"""focus.build: cost tables become focus_cost_daily."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from convergence.costs.focus.build import build_focus
from convergence.steps import StepContext, StepResult


class Config(BaseModel):
    """`providers` may name scopes of theirs; without, all that have costs are built.

    Days before the window are built where their costs have changed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    providers: tuple[str, ...] = ()
    lookback_days: int = Field(default=100, ge=0, le=4000)


def get_engine() -> FocusProcessor:
    return FocusProcessor()


class FocusProcessor:
    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        built = await build_focus(context, context.days, config.providers or None, lookback_days=config.lookback_days)
        built.check()
        return StepResult(built.rows, built.metadata)
