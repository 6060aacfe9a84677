"""anthropic.reported_cost: what Anthropic says it will invoice, by workspace and description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from convergence.connectors.layout import AmountUnit
from convergence.processors.anthropic._client import open_client
from convergence.processors.anthropic._reports import MOST_DAYS, build_cost_report
from convergence.processors.anthropic._source import ReportSource
from convergence.processors.anthropic._window import Restatement
from convergence.steps import StepContext, StepResult
from convergence.steps.loading import DayLoad
from convergence.steps.reports import load_windows

TABLE = "anthropic_reported_cost_daily_raw"
STREAM = "anthropic.reported_cost"
_GROUP = (
    *("usage_date", "workspace_id", "description", "model", "cost_type", "token_type", "service_tier"),
    *("context_window", "inference_geo", "currency"),
)


class Config(Restatement):
    """`amount_unit` is what the provider's amounts count; whole units of the currency are stored."""

    amount_unit: AmountUnit
    requests_per_second: float | None = Field(default=None, gt=0)


def get_engine() -> ReportedCostProcessor:
    return ReportedCostProcessor()


class ReportedCostProcessor:
    """Always grouped by both dimensions: a total beside its parts would count twice."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        client = await open_client(context, config.requests_per_second)
        source = ReportSource(context, client, build_cost_report(config.amount_unit), TABLE, _GROUP)
        load, days = DayLoad(TABLE, STREAM, amount_column="amount"), config.choose_window(context)
        total = await load_windows(context, load, source, days, most_days=MOST_DAYS)
        total.check()
        return StepResult(total.rows, total.metadata, source.warnings)
