"""reconciliation.conservation: reported cost, cost table, people and FOCUS hold the same money, on record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from convergence.costs.proofs import CONSERVED, Proof, check_proofs, prove_conservation, sum_proofs
from convergence.steps import StepContext, StepResult
from convergence.steps.loading import DayLoad, Fetched, publish_days
from convergence.steps.reports import choose_window

if TYPE_CHECKING:
    import pyarrow as pa

TABLE: Final = "cost_conservation_daily"
FOCUS_STEP: Final = "transform_focus"


class Config(BaseModel):
    """The days must be those of the step that makes the cost table. FOCUS is held to it where this run built it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str = Field(pattern=r"^[a-z][a-z0-9_]{0,60}$")
    restatement_days: int = Field(default=0, ge=0, le=45)
    month_end_days: int = Field(default=0, ge=0, le=45)


def get_engine() -> ConservationProcessor:
    return ConservationProcessor()


class ConservationProcessor:
    """The record is written first: a day that is broken stays visible in it."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        window = choose_window(context, config.restatement_days, config.month_end_days)
        proofs = await prove_conservation(
            context.warehouse,
            context.catalog,
            context.tenant,
            config.provider,
            window,
            with_focus=FOCUS_STEP in context.outputs,
        )
        part = ("provider", config.provider)
        load = DayLoad(TABLE, f"{config.provider}.conservation", amount_column="daily", part=part)
        await publish_days(context, load, Fetched(window, _build_rows(context, config.provider, proofs)))
        check_proofs(config.provider, proofs)
        return StepResult(len(proofs), {"status": CONSERVED, "conserved": sum_proofs(proofs)})


def _build_rows(context: StepContext, provider: str, proofs: Sequence[Proof]) -> pa.Table:
    import pyarrow as pa

    from convergence.warehouse.arrow import build_arrow_schema

    schema = context.catalog.schema(TABLE)
    names = [column.name for column in schema.measures_and_dimensions]
    arrow = build_arrow_schema(schema)
    rows = [{name: provider if name == "provider" else getattr(proof, name) for name in names} for proof in proofs]
    return pa.Table.from_pylist(rows, schema=pa.schema([arrow.field(name) for name in names]))
