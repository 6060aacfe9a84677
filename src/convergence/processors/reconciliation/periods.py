"""reconciliation.periods: usage, reports and invoices compared, written to reconciliation_daily or _monthly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from convergence.costs.reconciliation.figures import Ledger, months_of, reconcile
from convergence.costs.reconciliation.judgement import DEFAULT_TOLERANCE, DIVERGED, Reconciliation
from convergence.kit.clock import today
from convergence.kit.jsontext import dumps
from convergence.kit.window import Window
from convergence.steps import StepContext, StepResult
from convergence.steps.loading import DayLoad, Fetched, publish_days

if TYPE_CHECKING:
    import pyarrow as pa

_TABLES: Final = {"day": "reconciliation_daily", "month": "reconciliation_monthly"}


class Config(BaseModel):
    """`lookback_days` before the run's days are compared again: reports are restated, invoices come late."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    granularity: Literal["day", "month"]
    lookback_days: int = Field(default=0, ge=0, le=400)
    tolerance: Decimal = Field(default=DEFAULT_TOLERANCE, ge=0, le=1)


def get_engine() -> PeriodsProcessor:
    return PeriodsProcessor()


class PeriodsProcessor:
    """What diverges is a warning of the run: the comparison itself has worked."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        window = _widen(context.days, config)
        found = await reconcile(
            Ledger(context.warehouse, context.catalog, context.tenant),
            window,
            config.granularity,
            today=today(context.clock),
            tolerance=config.tolerance,
        )
        table = _TABLES[config.granularity]
        load = DayLoad(table, f"reconciliation.{config.granularity}", day_column="period")
        published = await publish_days(context, load, Fetched(window, _build_rows(context, table, found)))
        statuses = dict(sorted(Counter(one.status for one in found).items()))
        return StepResult(published.rows, {**published.metadata, "statuses": statuses}, _warn(found))


def describe(found: Reconciliation) -> dict[str, Any]:
    """The columns of both tables, lineage aside."""
    return {
        "period": found.period,
        "provider": found.provider,
        "currency": found.currency,
        "period_start": found.compared.start,
        "period_end": found.compared.end,
        "usage_x_price": found.usage_x_price,
        "provider_reported": found.provider_reported,
        "invoiced": found.invoiced,
        "residual": found.residual,
        "explained_by": dumps(found.explained_by),
        "usage_residual": found.usage.residual if found.usage else None,
        "usage_explained_by": dumps(found.usage.explained if found.usage else {}),
        "invoice_residual": found.invoice.residual if found.invoice else None,
        "invoice_explained_by": dumps(found.invoice.explained if found.invoice else {}),
        "missing": ",".join(found.missing) or None,
        "tolerance": found.tolerance,
        "status": found.status,
    }


def _widen(days: Window, config: Config) -> Window:
    window = Window(days.start - timedelta(days=config.lookback_days), days.end)
    if config.granularity == "day":
        return window
    months = months_of(window)
    return Window(months[0], (months[-1] + timedelta(days=31)).replace(day=1))


def _warn(found: Sequence[Reconciliation]) -> tuple[str, ...]:
    return tuple(
        f"{one.provider} diverges in the period of {one.period}: {one.explained_by.get('unknown')} {one.currency}"
        " is not explained"
        for one in found
        if one.status == DIVERGED
    )


def _build_rows(context: StepContext, table: str, found: Sequence[Reconciliation]) -> pa.Table:
    import pyarrow as pa

    from convergence.warehouse.arrow import build_arrow_schema

    schema = context.catalog.schema(table)
    arrow = build_arrow_schema(schema)
    fields = [arrow.field(column.name) for column in schema.measures_and_dimensions]
    return pa.Table.from_pylist([describe(one) for one in found], schema=pa.schema(fields))
