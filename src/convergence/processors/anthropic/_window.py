"""The days that every step of Anthropic reads."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from convergence.kit.window import Window
from convergence.steps import StepContext
from convergence.steps.reports import choose_window


class Restatement(BaseModel):
    """A daily run reads `restatement_days` before its window again, and `month_end_days` when a month is over."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    restatement_days: int = Field(default=7, ge=0, le=45)
    month_end_days: int = Field(default=35, ge=0, le=45)

    def choose_window(self, context: StepContext) -> Window:
        return choose_window(context, self.restatement_days, self.month_end_days)
