"""Gives an organization the price book and seat plans of a provider, from the seeds, where it has none yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from convergence.costs.changes import change_alone
from convergence.costs.prices.service import initialize_prices
from convergence.costs.subscriptions import initialize_plans
from convergence.integrations import find_provider
from convergence.steps import StepContext, StepResult


class Config(BaseModel):
    """`plans` is false for a provider that sells no seats."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str
    plans: bool = True


class Engine:
    """What an organization has changed stays: a second setup fills nothing."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        provider = find_provider(config.provider)
        place = (context.warehouse, context.catalog, context.tenant, provider.folder)
        async with change_alone(context.state, context.clock, context.tenant, provider.folder):
            filled = {"pricing_filled": await initialize_prices(*place)}
            if config.plans:
                filled["subscriptions_filled"] = await initialize_plans(*place)
        return StepResult(
            metadata={
                "provider": provider.name,
                "pricing_initialized": True,
                "subscriptions_initialized": config.plans,
                **filled,
            }
        )


def get_engine() -> Engine:
    return Engine()
