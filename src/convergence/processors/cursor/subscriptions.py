"""cursor.subscriptions: what the team's seats cost, which no API of Cursor tells, month by month."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from convergence.costs.seats import publish_months
from convergence.processors.cursor._client import PROVIDER
from convergence.steps import StepContext, StepResult


class Config(BaseModel):
    """There is nothing to set: the plans are rows of `cursor_subscriptions`."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def get_engine() -> SubscriptionsProcessor:
    return SubscriptionsProcessor()


class SubscriptionsProcessor:
    """Writes every month that the run's days touch, whole."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        Config.model_validate(step_config)
        return await publish_months(context, PROVIDER)
