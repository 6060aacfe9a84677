"""gcp.cost: net cost per usage day, rebuilt for every day that the loaded partitions have touched."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from convergence.costs.conservation import check_conservation
from convergence.kit.window import Window, join_days
from convergence.processors.gcp._billing_rows import TABLE as RAW_TABLE
from convergence.processors.gcp._cost_rows import build_costs
from convergence.processors.gcp._publishing import list_days
from convergence.sql import Statement
from convergence.steps import StepContext, StepResult
from convergence.steps.context import file_days
from convergence.steps.loading import DayLoad, Fetched, Published, ensure_tables, publish_days

if TYPE_CHECKING:
    import pyarrow as pa

TABLE = "gcp_cost_daily"
STREAM = "gcp.cost"
MOST_DAYS = 10
_LOAD = DayLoad(TABLE, STREAM, amount_column="billed_cost")


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def get_engine() -> CostProcessor:
    return CostProcessor()


class CostProcessor:
    """The run's own days, and all before them whose rows are newer than their costs.

    Days behind the run's wait for a run of their own: what is built from costs goes no further either.
    """

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        Config.model_validate(step_config)
        await ensure_tables(context, RAW_TABLE)
        await ensure_tables(context, TABLE)
        days = await _find_days(context)
        total, warnings = Published(), dict[str, None]()
        for window in (part for whole in join_days(days) for part in whole.chunks(MOST_DAYS)):
            rows, found = await _build(context, window)
            warnings |= dict.fromkeys(found)
            total.extend(await publish_days(context, _LOAD, Fetched(window, rows)))
            context.report(total.rows)
        touched = file_days(Window.inclusive(days[0], days[-1])) if days else {}
        return StepResult(total.rows, {**total.metadata, **touched}, tuple(warnings))


async def _find_days(context: StepContext) -> list[date]:
    sql = context.catalog.text(context.catalog.root, "gcp/sql/stale_days.sql")
    stale = list_days(await context.warehouse.query(Statement(sql, context.tenant.dataset)), "usage_date")
    if context.window is None:
        return stale
    return sorted({*(day for day in stale if day < context.window.end), *context.window.days()})


async def _build(context: StepContext, window: Window) -> tuple[pa.Table, tuple[str, ...]]:
    """
    Raises:
        DataQualityError: conservation_broken: money or usage was lost or doubled; nothing of the window is published.
    """
    summed = await _query(context, "cost_by_day", window)
    schema = context.catalog.schema(TABLE)
    rows, warnings = await asyncio.to_thread(build_costs, summed, schema)
    quantities = (await _query(context, "raw_quantities", window)).to_pylist()
    check_conservation(
        rows,
        (await _query(context, "raw_totals", window)).to_pylist(),
        [{"usage_date": row["usage_date"], row["unit"]: row["amount"]} for row in quantities],
    )
    return rows, warnings


async def _query(context: StepContext, name: str, window: Window) -> pa.Table:
    sql = context.catalog.text(context.catalog.root, f"gcp/sql/{name}.sql")
    days = {"start_date": window.start, "end_date": window.end}
    return await context.warehouse.query(Statement(sql, context.tenant.dataset, days))
