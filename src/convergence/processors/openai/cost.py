"""openai.cost: usage priced by the organization's price book, and reported cost handed to whoever caused it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from convergence.costs.daily import CostSource, publish_costs
from convergence.costs.prices.book import PriceBook
from convergence.costs.prices.pricing import Kind, Quote
from convergence.processors.openai import reported_cost, usage
from convergence.processors.openai._attribution import attribute
from convergence.processors.openai._client import PROVIDER
from convergence.processors.openai._token_classes import quote
from convergence.steps import StepContext, StepResult
from convergence.steps.reports import choose_window


class Config(BaseModel):
    """`restatement_days` must be those of the steps that load usage and reported cost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    restatement_days: int = Field(default=3, ge=0, le=45)


def get_engine() -> CostProcessor:
    return CostProcessor()


class CostProcessor:
    """A few days at a time."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        return await publish_costs(context, _SOURCE, choose_window(context, config.restatement_days))


def _quote(book: PriceBook, kind: Kind) -> Quote | None:
    return quote(
        book,
        kind["token_class"],
        kind["model"],
        kind["usage_date"],
        batch=bool(kind["batch"]),
        service_tier=kind["service_tier"],
    )


_SOURCE = CostSource(
    provider=PROVIDER,
    usage_table=usage.TABLE,
    usage_stream=usage.STREAM,
    reported_table=reported_cost.TABLE,
    quoted=("usage_date", "model", "batch", "service_tier", "token_class"),
    quote=_quote,
    attribute=attribute,
)
