"""anthropic.usage: what was used through the Messages API, by workspace, key, model, tier and context window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from convergence.processors.anthropic._client import open_client
from convergence.processors.anthropic._reports import MOST_DAYS, USAGE, USAGE_DIMENSIONS
from convergence.processors.anthropic._source import ReportSource
from convergence.processors.anthropic._window import Restatement
from convergence.steps import StepContext, StepResult
from convergence.steps.loading import DayLoad
from convergence.steps.reports import load_windows

TABLE = "anthropic_usage_daily_raw"
STREAM = "anthropic.usage"


class Config(Restatement):
    """`requests_per_second` slows it down."""

    requests_per_second: float | None = Field(default=None, gt=0)


def get_engine() -> UsageProcessor:
    return UsageProcessor()


class UsageProcessor:
    """Windows of a few days, newest first."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        client = await open_client(context, config.requests_per_second)
        source = ReportSource(context, client, USAGE, TABLE, ("usage_date", *USAGE_DIMENSIONS, "inference_geo"))
        days = config.choose_window(context)
        total = await load_windows(context, DayLoad(TABLE, STREAM), source, days, most_days=MOST_DAYS)
        total.check()
        return StepResult(total.rows, total.metadata, source.warnings)
