"""openai.subscriptions: what the organization's seat plans cost, month by month."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from convergence.costs.subscriptions import build_months, initialize_plans, list_plans, next_month
from convergence.kit.window import Window
from convergence.processors.openai._client import PROVIDER
from convergence.steps import StepContext, StepResult
from convergence.steps.loading import DayLoad, Fetched, publish_days

if TYPE_CHECKING:
    import pyarrow as pa

TABLE = "openai_subscriptions_monthly"
STREAM = "openai.subscriptions"


class Config(BaseModel):
    """There is nothing to set: the plans are rows of `openai_subscriptions`."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def get_engine() -> SubscriptionsProcessor:
    return SubscriptionsProcessor()


class SubscriptionsProcessor:
    """Writes every month that the run's days touch, whole."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        Config.model_validate(step_config)
        place = (context.warehouse, context.catalog, context.tenant, PROVIDER)
        await initialize_plans(*place)
        months = find_months(context.days)
        rows = build_months(await list_plans(*place), months)
        window = Window(months[0], next_month(months[-1]))
        fetched = Fetched(window, _build_table(context, rows))
        load = DayLoad(TABLE, STREAM, day_column="month", amount_column="amount")
        published = await publish_days(context, load, fetched)
        return StepResult(published.rows, {**published.metadata, "months": [month.isoformat() for month in months]})


def find_months(days: Window) -> list[date]:
    """First days of the months that the days lie in."""
    months = [days.start.replace(day=1)]
    while next_month(months[-1]) < days.end:
        months.append(next_month(months[-1]))
    return months


def _build_table(context: StepContext, rows: list[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    from convergence.warehouse.arrow import build_arrow_schema

    schema = context.catalog.schema(TABLE)
    wanted = build_arrow_schema(schema)
    return pa.Table.from_pylist(
        rows, schema=pa.schema([wanted.field(column.name) for column in schema.measures_and_dimensions])
    )
