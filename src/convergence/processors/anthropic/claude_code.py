"""anthropic.claude_code: who used Claude Code for what. Its estimates stand beside the bill and never enter it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from pydantic import Field

from convergence.connectors import FieldSpec, PageLayout, ProviderClient
from convergence.connectors.layout import AmountUnit
from convergence.kit.clock import today
from convergence.kit.window import Window
from convergence.processors.anthropic._client import PROVIDER, open_client
from convergence.processors.anthropic._window import Restatement
from convergence.steps import StepContext, StepResult
from convergence.steps.loading import DayLoad, Fetched
from convergence.steps.reports import (
    BUCKET_START,
    Reading,
    Report,
    build_rows,
    collapse_repeats,
    load_windows,
    read_views,
)

if TYPE_CHECKING:
    import pyarrow as pa

TABLE = "anthropic_claude_code_daily_raw"
STREAM = "anthropic.claude_code"
_PATH = "/v1/organizations/usage_report/claude_code"
_MOST_DAYS = 31  # published together
_DIMENSIONS = (
    *("usage_date", "actor_type", "actor", "customer_type", "subscription_type", "terminal_type", "is_remote"),
    "model",
)
_TOOLS = ("edit_tool", "multi_edit_tool", "write_tool", "notebook_edit_tool")
_ACTIVITY = {
    "sessions": "core_metrics.num_sessions",
    "lines_added": "core_metrics.lines_of_code.added",
    "lines_removed": "core_metrics.lines_of_code.removed",
    "commits": "core_metrics.commits_by_claude_code",
    "pull_requests": "core_metrics.pull_requests_by_claude_code",
    **{f"{tool}_{what}": f"tool_actions.{tool}.{what}" for tool in _TOOLS for what in ("accepted", "rejected")},
}
_TOKENS = {
    "input_tokens": "tokens.input",
    "output_tokens": "tokens.output",
    "cache_read_tokens": "tokens.cache_read",
    "cache_creation_tokens": "tokens.cache_creation",
}
_WHO = (
    FieldSpec(BUCKET_START, "date", "TIMESTAMP", required=True, time_format="rfc3339"),
    FieldSpec("actor_type", "actor.type", required=True),
    FieldSpec("email_address", "actor.email_address"),
    FieldSpec("api_key_name", "actor.api_key_name"),
    *(FieldSpec(name) for name in ("customer_type", "subscription_type", "terminal_type")),
    FieldSpec("is_remote", type="BOOL"),
)
_BREAKDOWN = "model_breakdown"
_EXPECTED = frozenset({"organization_id", "core_metrics", "tool_actions", _BREAKDOWN})


class Config(Restatement):
    """`amount_unit` is what the provider's estimates count; whole units of the currency are stored."""

    amount_unit: AmountUnit
    requests_per_second: float | None = Field(default=None, gt=0)


def get_engine() -> ClaudeCodeProcessor:
    return ClaudeCodeProcessor()


class ClaudeCodeProcessor:
    """One request a day: the report takes no range."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        client = await open_client(context, config.requests_per_second)
        source = _ActivitySource(context, client, config.amount_unit)
        days = config.choose_window(context)
        total = await load_windows(context, DayLoad(TABLE, STREAM), source, days, most_days=_MOST_DAYS)
        total.check()
        return StepResult(total.rows, total.metadata)


class _ActivitySource:
    """A record twice: its activity once, and its tokens once for each model."""

    def __init__(self, context: StepContext, client: ProviderClient, unit: AmountUnit) -> None:
        self._context = context
        self._client = client
        self._views = build_views(unit)
        self.bytes_read = 0  # by the last read

    async def read(self, window: Window, /) -> Fetched:
        readings = [Reading(report) for report in self._views]
        for day in window.days():
            await self._read_day(day, readings)
        self.bytes_read = readings[0].bytes_read
        rejects = [*readings[0].rejects, *(reject for reject in readings[1].rejects if _is_of_model(reject.error_path))]
        return Fetched(window, self._build(readings), rejects)

    async def _read_day(self, day: date, readings: list[Reading]) -> None:
        parts = await read_views(self._client, self._views, Window.day(day))
        for reading, part in zip(readings, parts, strict=True):
            reading.extend(part)

    def _build(self, readings: list[Reading]) -> pa.Table:
        for reading in readings:
            reading.batches = [_name_actor(batch) for batch in reading.batches]
        schema = self._context.catalog.schema(TABLE)
        rows = _count_edits(build_rows(readings, schema, {}, today(self._context.clock)))
        return collapse_repeats(rows, _DIMENSIONS, "Claude Code rows")


def _is_of_model(path: str | None) -> bool:
    """What is wrong with a record as a whole is found with its activity already."""
    return _BREAKDOWN in (path or "")


def _name_actor(batch: pa.RecordBatch) -> pa.RecordBatch:
    import pyarrow.compute as pc

    named = pc.coalesce(pc.utf8_lower(batch["email_address"]), batch["api_key_name"])
    return batch.append_column("actor", named)


def _count_edits(rows: pa.Table) -> pa.Table:
    """accepted_edits and rejected_edits over all tools, where there is activity."""
    import pyarrow as pa
    import pyarrow.compute as pc

    zero, nothing = pa.scalar(0, pa.int64()), pa.scalar(None, pa.int64())
    for what in ("accepted", "rejected"):
        total = pa.repeat(zero, rows.num_rows)
        for tool in _TOOLS:
            total = pc.add(total, pc.fill_null(rows[f"{tool}_{what}"], zero))
        place = rows.schema.get_field_index(f"{what}_edits")
        total = pc.if_else(pc.is_null(rows["model"]), total, nothing)
        rows = rows.set_column(place, rows.schema.field(place), total)
    return rows


def build_views(unit: AmountUnit) -> tuple[Report, Report]:
    """The two kinds of rows of a page: activity, and tokens by model."""
    return _activity_report(), _token_report(unit)


def _activity_report() -> Report:
    counts = tuple(FieldSpec(name, source, "INT64", non_negative=True) for name, source in _ACTIVITY.items())
    return _report(PageLayout(result_fields=_WHO + counts, rows=("data[]",), expected=_EXPECTED))


def _token_report(unit: AmountUnit) -> Report:
    fields = (
        FieldSpec("model", required=True),
        *(FieldSpec(name, source, "INT64", non_negative=True) for name, source in _TOKENS.items()),
        FieldSpec("estimated_cost", "estimated_cost.amount", "NUMERIC", unit=unit),
        FieldSpec("currency", "estimated_cost.currency"),
    )
    lists = ("data[]", f"{_BREAKDOWN}[]")
    return _report(PageLayout(result_fields=fields, bucket_fields=_WHO, rows=lists, expected=_EXPECTED))


def _report(layout: PageLayout) -> Report:
    return Report(PROVIDER, "claude_code", _PATH, (), layout, _build_params, pages_a_day=200)


def _build_params(_dimensions: tuple[str, ...], window: Window) -> list[tuple[str, str]]:
    """A single UTC day, and as many records as a page takes."""
    return [("starting_at", window.start.isoformat()), ("limit", "1000")]
