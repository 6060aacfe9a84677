"""reconciliation.conservation: reported cost, cost table, people and FOCUS hold the same money, on record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from convergence.costs.reconciliation.proofs import CONSERVED, Proof, check_proofs, prove_conservation, sum_proofs
from convergence.kit.clock import today
from convergence.kit.window import DAY, Window, join_days
from convergence.steps import StepContext, StepResult
from convergence.steps.loading import DayLoad, Fetched, publish_days

if TYPE_CHECKING:
    import pyarrow as pa

TABLE: Final = "cost_conservation_daily"
FOCUS_STEP: Final = "transform_focus"


class Config(BaseModel):
    """Days after the run's, and up to `lookback_days` before them, are proved where the run has changed their costs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str = Field(pattern=r"^[a-z][a-z0-9_]{0,60}$")
    lookback_days: int = Field(default=100, ge=0, le=400)


def get_engine() -> ConservationProcessor:
    return ConservationProcessor()


class ConservationProcessor:
    """The record is written first: a day that is broken stays visible in it. FOCUS counts where the run built it."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        days = await _find_days(context, config)
        proofs = await _prove(context, config.provider, days)
        load = DayLoad(
            TABLE,
            f"{config.provider}.conservation",
            amount_column="daily",
            part=("provider", config.provider),
        )
        for window in join_days(days):
            held = [proof for proof in proofs if proof.usage_date in window]
            await publish_days(context, load, Fetched(window, _build_rows(context, config.provider, held)))
        check_proofs(config.provider, proofs)
        return StepResult(len(proofs), {"status": CONSERVED, "conserved": sum_proofs(proofs)})


async def _find_days(context: StepContext, config: Config) -> list[date]:
    """The run's days, and those before and after them that its cost step has changed."""
    end = max(context.days.end, today(context.clock) + DAY)
    whole = Window(context.days.start - timedelta(days=config.lookback_days), end)
    states = await context.warehouse.scopes(context.tenant.dataset, f"{config.provider}.cost", whole)
    return sorted({*context.days.days(), *(state.day for state in states if state.run_id == context.run.run_id)})


async def _prove(context: StepContext, provider: str, days: Sequence[date]) -> list[Proof]:
    proofs = await prove_conservation(
        context.warehouse,
        context.catalog,
        context.tenant,
        provider,
        Window.inclusive(days[0], days[-1]),
        with_focus=FOCUS_STEP in context.outputs,
    )
    chosen = frozenset(days)
    return [proof for proof in proofs if proof.usage_date in chosen]


def _build_rows(context: StepContext, provider: str, proofs: Sequence[Proof]) -> pa.Table:
    import pyarrow as pa

    from convergence.warehouse.arrow import build_arrow_schema

    schema = context.catalog.schema(TABLE)
    names = [column.name for column in schema.measures_and_dimensions]
    arrow = build_arrow_schema(schema)
    rows = [{name: provider if name == "provider" else getattr(proof, name) for name in names} for proof in proofs]
    return pa.Table.from_pylist(rows, schema=pa.schema([arrow.field(name) for name in names]))
