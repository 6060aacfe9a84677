"""costs.rerate: the cost step of a provider over days that are loaded, with today's price book."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from convergence.costs.prices.rerate import Ledger, build_ledger, check_billed, find_moves
from convergence.errors import ConfigError
from convergence.kit.window import Window, join_days
from convergence.sql import Statement
from convergence.steps import StepContext, StepResult
from convergence.steps.registry import load_processor
from convergence.warehouse.rehearsal import Rehearsal

if TYPE_CHECKING:
    import pyarrow as pa

EVERY: Final = "all"
_MOST_DAYS: Final = 7  # held in memory at a time
_MOST_MOVES: Final = 200  # in the run's record


class Config(BaseModel):
    """`cost_step` is the ps_type that makes `{provider}_cost_daily`, `settings` are its keys.

    `only` names the provider that the run is for, or all. A rehearsal computes everything and writes nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str = Field(pattern="^[a-z][a-z0-9_]*$")
    cost_step: str
    settings: dict[str, Any] = Field(default_factory=dict)
    only: str = EVERY
    rehearse: bool = False

    @field_validator("cost_step")
    @classmethod
    def _check_step(cls, ps_type: str) -> str:
        try:
            load_processor(ps_type)
        except ConfigError as error:
            raise ValueError(error.message) from error
        return ps_type

    @property
    def table(self) -> str:
        return f"{self.provider}_cost_daily"

    @property
    def stream(self) -> str:
        return f"{self.provider}.cost"


def get_engine() -> RerateProcessor:
    return RerateProcessor()


class RerateProcessor:
    """A few days at a time; a day whose cost was never loaded is left alone."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        done = _Done()
        if config.only in (EVERY, config.provider):
            for window in await _find_windows(config, context):
                await _rerate(config, context, window, done)
                context.report(done.rows)
        return StepResult(done.rows, done.describe(config), tuple(sorted(done.warnings)))


@dataclass(slots=True)
class _Done:
    rows: int = 0
    days: int = 0
    days_replaced: int = 0
    before: dict[Any, Any] = field(default_factory=dict)
    after: dict[Any, Any] = field(default_factory=dict)
    warnings: set[str] = field(default_factory=set)

    def describe(self, config: Config) -> dict[str, Any]:
        moves = find_moves(self.before, self.after)
        return {
            "provider": config.provider,
            "rehearsed": config.rehearse,
            "days": self.days,
            "days_replaced": self.days_replaced,
            "moved_models": len(moves),
            "moved": [move.shown for move in moves[:_MOST_MOVES]],
        }


async def _find_windows(config: Config, context: StepContext) -> Iterator[Window]:
    states = await context.warehouse.scopes(context.tenant.dataset, config.stream, context.days)
    return (part for run in join_days(state.day for state in states) for part in run.chunks(_MOST_DAYS))


async def _rerate(config: Config, context: StepContext, window: Window, done: _Done) -> None:
    rehearsal = Rehearsal(context.warehouse)
    engine = load_processor(config.cost_step).engine
    result = await engine.execute(config.settings, replace(context, warehouse=rehearsal, window=window))
    before, after = await _read_ledger(config, context, window), build_ledger(_held_rows(config, rehearsal))
    check_billed(config.provider, before, after)
    if not config.rehearse:
        done.days_replaced += sum(len(loaded.days_replaced) for loaded in await rehearsal.perform())
    done.rows += result.rows_processed
    done.days += len(window)
    done.before.update(before)
    done.after.update(after)
    done.warnings.update(result.warnings)


async def _read_ledger(config: Config, context: StepContext, window: Window) -> Ledger:
    sql = (
        "SELECT usage_date, model, currency, SUM(list_cost) AS list_cost, SUM(billed_cost) AS billed_cost"
        f" FROM {config.table} WHERE usage_date >= @start_date AND usage_date < @end_date"
        " GROUP BY usage_date, model, currency"
    )
    days = {"start_date": window.start, "end_date": window.end}
    return build_ledger(await context.warehouse.query(Statement(sql, context.tenant.dataset, days)))


def _held_rows(config: Config, rehearsal: Rehearsal) -> pa.Table:
    import pyarrow as pa

    batches = [batch for held in rehearsal.held if held.table.name == config.table for batch in held.batches]
    columns = pa.schema(
        [
            ("usage_date", pa.date32()),
            ("model", pa.string()),
            ("currency", pa.string()),
            ("list_cost", pa.decimal128(38, 9)),
            ("billed_cost", pa.decimal128(38, 9)),
        ]
    )
    if not batches:
        return columns.empty_table()
    return pa.Table.from_batches(batches).select(columns.names)
