"""The monthly table of a provider's seat plans, written month by month."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from convergence.costs.subscriptions import build_months, initialize_plans, list_plans, next_month
from convergence.kit.window import Window
from convergence.steps import StepContext, StepResult
from convergence.steps.loading import DayLoad, Fetched, publish_days

if TYPE_CHECKING:
    import pyarrow as pa


async def publish_months(context: StepContext, provider: str) -> StepResult:
    """Write every month that the run's days touch, whole: one row a plan that has seats and runs in it."""
    place = (context.warehouse, context.catalog, context.tenant, provider)
    await initialize_plans(*place)
    months = find_months(context.days)
    load = DayLoad(
        f"{provider}_subscriptions_monthly", f"{provider}.subscriptions", day_column="month", amount_column="amount"
    )
    rows = _build_table(context, load.table, build_months(await list_plans(*place), months))
    published = await publish_days(context, load, Fetched(Window(months[0], next_month(months[-1])), rows))
    return StepResult(published.rows, {**published.metadata, "months": [month.isoformat() for month in months]})


def find_months(days: Window) -> list[date]:
    """First days of the months that the days lie in."""
    months = [days.start.replace(day=1)]
    while next_month(months[-1]) < days.end:
        months.append(next_month(months[-1]))
    return months


def _build_table(context: StepContext, table: str, rows: list[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    from convergence.warehouse.arrow import build_arrow_schema

    schema = context.catalog.schema(table)
    wanted = build_arrow_schema(schema)
    return pa.Table.from_pylist(
        rows, schema=pa.schema([wanted.field(column.name) for column in schema.measures_and_dimensions])
    )
