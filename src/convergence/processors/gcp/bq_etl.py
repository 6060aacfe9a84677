"""gcp.bq_etl: the load partitions of the organization's billing export, copied whole."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from convergence.kit.clock import today
from convergence.kit.window import DAY, Window
from convergence.processors.gcp._export import BillingExport, open_export
from convergence.processors.gcp._publishing import Partitions, count_committed, publish_partitions
from convergence.steps import StepContext, StepResult
from convergence.steps.reports import SCHEDULED


class Config(BaseModel):
    """How far back load partitions are read.

    A daily run reads from a day before the last one that is loaded; the first of all, and one a week (`reload_weekday`,
    Monday is 1), `reload_days`. A run for other days reads what was loaded from their first until `late_days` after
    their last: usage is never loaded before its day, and seldom later. One query may bill `max_bytes_billed`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reload_days: int = Field(default=62, ge=1, le=400)
    reload_weekday: int = Field(default=7, ge=1, le=7)
    late_days: int = Field(default=62, ge=1, le=400)
    max_bytes_billed: int = Field(default=50 * 2**30, ge=10 * 2**20)


def get_engine() -> BillingProcessor:
    return BillingProcessor()


class BillingProcessor:
    """Partitions oldest first, so that what a broken run has published is a beginning without gaps."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        whole = await choose_partitions(context, config)
        async with open_export(context, config.max_bytes_billed) as export:
            total = await _publish(context, export, whole)
            missing = export.missing
        total.published.check()
        return StepResult(
            total.published.rows,
            {
                **total.published.metadata,
                "first_partition": whole.start.isoformat(),
                "last_partition": whole.last.isoformat(),
                "partitions_smaller": [day.isoformat() for day in sorted(total.smaller)],
                "columns_missing": list(missing),
            },
            tuple(_warn(day, *rows) for day, rows in sorted(total.smaller.items())),
        )


async def _publish(context: StepContext, export: BillingExport, whole: Window) -> Partitions:
    total = Partitions()
    for window in await export.cut(whole):
        total.extend(await publish_partitions(context, await export.read(window), export.tables))
        context.report(total.published.rows)
    return total


def _warn(day: date, found: int, loaded: int) -> str:
    return (
        f"the export has {found} rows in the partition of {day}, of which {loaded} are loaded: it may have expired; the"
        " loaded rows stay"
    )


async def choose_partitions(context: StepContext, config: Config) -> Window:
    """The load partitions to read, today's among them: it is read again until it is over."""
    days, now = context.days, today(context.clock)
    is_latest = len(days) == 1 and days.last >= now - DAY
    if context.run.trigger_type != SCHEDULED and not is_latest:
        return Window(days.start, max(days.end, min(now + DAY, days.end + timedelta(days=config.late_days))))
    again = Window(days.start - timedelta(days=config.reload_days), max(now + DAY, days.end))
    loaded = [day for day, rows in (await count_committed(context, again)).items() if rows]
    if not loaded or days.last.isoweekday() == config.reload_weekday:
        return again
    return Window(min(max(loaded) - DAY, days.start), again.end)
