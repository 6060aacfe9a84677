"""openai.reported_cost: what OpenAI says it will invoice, by project, key and line item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from convergence.connectors import ProviderClient
from convergence.errors import ProviderRejected
from convergence.kit.clock import today
from convergence.kit.window import Window
from convergence.processors.openai._client import open_client
from convergence.processors.openai._reports import COSTS_BY_KEY, COSTS_BY_PROJECT
from convergence.steps import StepContext, StepResult
from convergence.steps.loading import DayLoad, Fetched
from convergence.steps.reports import (
    Reading,
    build_rows,
    choose_window,
    collapse_repeats,
    load_windows,
    read_report,
)

if TYPE_CHECKING:
    import pyarrow as pa

TABLE = "openai_reported_cost_daily_raw"
STREAM = "openai.reported_cost"
_GROUP = ("usage_date", "project_id", "api_key_id", "line_item", "currency", "quantity_unit")


class Config(BaseModel):
    """A daily run reads `restatement_days` before its window again; a request asks for `window_days` at most."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    restatement_days: int = Field(default=3, ge=0, le=45)
    window_days: int = Field(default=31, ge=1, le=180)
    requests_per_second: float | None = Field(default=None, gt=0)


def get_engine() -> ReportedCostProcessor:
    return ReportedCostProcessor()


class ReportedCostProcessor:
    """Asks by key; where the organization's API refuses that, asks the whole window again without."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        client = await open_client(context, config.requests_per_second)
        whole = choose_window(context, config.restatement_days)
        source = _CostSource(context, client)
        load = DayLoad(TABLE, STREAM, amount_column="amount")
        total = await load_windows(context, load, source, whole, most_days=config.window_days)
        total.check()
        return StepResult(total.rows, {**total.metadata, "group_by": source.report.group_by}, source.warnings)


class _CostSource:
    """The cost report with the finest grouping that the organization's API takes."""

    def __init__(self, context: StepContext, client: ProviderClient) -> None:
        self._context = context
        self._client = client
        self.report = COSTS_BY_KEY
        self.unknown: frozenset[str] = frozenset()
        self.bytes_read = 0  # by the last read

    @property
    def warnings(self) -> tuple[str, ...]:
        found = []
        if self.report is not COSTS_BY_KEY:
            found.append("OpenAI refuses costs by api_key_id; each project's cost is allocated to its keys by usage")
        if self.unknown:
            found.append(f"OpenAI sends fields that no column takes: {', '.join(sorted(self.unknown))}")
        return tuple(found)

    async def read(self, window: Window) -> Fetched:
        reading = await self._read_report(window)
        self.unknown |= reading.unknown_fields
        self.bytes_read = reading.bytes_read
        schema = self._context.catalog.schema(TABLE)
        rows = _upper_currency(build_rows([reading], schema, {}, today(self._context.clock)))
        return Fetched(window, collapse_repeats(rows, _GROUP, "OpenAI cost rows"), reading.rejects)

    async def _read_report(self, window: Window) -> Reading:
        try:
            return await read_report(self._client, self.report, window)
        except ProviderRejected as error:
            if self.report is not COSTS_BY_KEY or not _refuses_key_grouping(error):
                raise
        self.report = COSTS_BY_PROJECT
        return await read_report(self._client, self.report, window)


def _refuses_key_grouping(error: ProviderRejected) -> bool:
    """A 400 that names the parameter or its value."""
    said = " ".join([error.message, *(str(value) for value in error.fields.values())])
    return error.status == 400 and ("api_key" in said or "group_by" in said)


def _upper_currency(rows: pa.Table) -> pa.Table:
    import pyarrow.compute as pc

    place = rows.schema.get_field_index("currency")
    return rows.set_column(place, rows.schema.field("currency"), pc.utf8_upper(rows["currency"]))
