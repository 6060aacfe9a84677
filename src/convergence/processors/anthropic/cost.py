"""anthropic.cost: usage priced by the organization's price book, and reported cost handed to the keys behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convergence.costs.daily import CostSource, publish_costs
from convergence.costs.prices.book import PriceBook
from convergence.costs.prices.pricing import Kind, Quote
from convergence.processors.anthropic import reported_cost, usage
from convergence.processors.anthropic._client import PROVIDER
from convergence.processors.anthropic._matching import attribute
from convergence.processors.anthropic._token_classes import quote
from convergence.processors.anthropic._window import Restatement
from convergence.steps import StepContext, StepResult


class Config(Restatement):
    """The days must be those of the steps that load usage and reported cost."""


def get_engine() -> CostProcessor:
    return CostProcessor()


class CostProcessor:
    """A few days at a time."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        return await publish_costs(context, _SOURCE, config.choose_window(context))


def _quote(book: PriceBook, kind: Kind) -> Quote | None:
    return quote(
        book,
        kind["token_class"],
        kind["model"],
        kind["usage_date"],
        service_tier=kind["service_tier"],
        context_window=kind["context_window"],
    )


_SOURCE = CostSource(
    provider=PROVIDER,
    usage_table=usage.TABLE,
    usage_stream=usage.STREAM,
    reported_table=reported_cost.TABLE,
    quoted=("usage_date", "model", "service_tier", "context_window", "token_class"),
    quote=_quote,
    attribute=attribute,
)
