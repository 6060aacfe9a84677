"""cursor.cost: what events were charged, and what the plan includes, split over the tokens behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convergence.costs.daily import CostSource, publish_costs
from convergence.processors.cursor import usage_events
from convergence.processors.cursor._client import PROVIDER
from convergence.processors.cursor._splitting import quote, split
from convergence.processors.cursor._window import NOTHING_IS_OVER, Restatement
from convergence.steps import StepContext, StepResult


class Config(Restatement):
    """The days must be those of the step that loads usage events."""


def get_engine() -> CostProcessor:
    return CostProcessor()


class CostProcessor:
    """A few days at a time."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        days = await Config.model_validate(step_config).choose_window(context)
        return NOTHING_IS_OVER if days is None else await publish_costs(context, _SOURCE, days)


_SOURCE = CostSource(
    provider=PROVIDER,
    usage_table=usage_events.TABLE,
    usage_stream=usage_events.STREAM,
    reported_table=usage_events.TABLE,
    quoted=("usage_date", "model", "token_class"),
    quote=quote,
    attribute=split,
)
