"""The days that every step of Cursor reads: only such as are over."""

from __future__ import annotations

from datetime import date, timedelta

from pydantic import BaseModel, ConfigDict, Field

from convergence.kit.clock import today
from convergence.kit.window import DAY, Window
from convergence.processors.cursor import spend
from convergence.sql import Statement
from convergence.steps import StepContext, StepResult
from convergence.steps.loading import ensure_tables
from convergence.steps.reports import choose_window

_SETTLING = timedelta(days=2)


class Restatement(BaseModel):
    """A daily run reads `restatement_days` before its window again, and `cycle_days` when a billing cycle closes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    restatement_days: int = Field(default=3, ge=0, le=45)
    cycle_days: int = Field(default=35, ge=0, le=62)

    async def choose_window(self, context: StepContext) -> Window | None:
        """The days to read, without today: pages of an open day shift while they are read. None when that is all."""
        closes = await _closes_a_cycle(context, context.days.last)
        again = max(self.restatement_days, self.cycle_days) if closes else self.restatement_days
        days = choose_window(context, again)
        end = min(days.end, today(context.clock))
        return Window(days.start, end) if days.start < end else None


NOTHING_IS_OVER = StepResult(warnings=("no day of the run is over yet: Cursor is read when days are over",))


def first_provisional_day(context: StepContext) -> date:
    """From this day on Cursor may still change what it says."""
    return today(context.clock) - _SETTLING


async def _closes_a_cycle(context: StepContext, last: date) -> bool:
    """Whether a billing cycle began on the day, the one before or the one after: the one before it is complete."""
    await ensure_tables(context, spend.TABLE)
    sql = f"SELECT MAX(subscription_cycle_start) AS began FROM {spend.TABLE}"
    (row,) = (await context.warehouse.query(Statement(sql, context.tenant.dataset))).to_pylist()
    return row["began"] is not None and abs(row["began"].date() - last) <= DAY
