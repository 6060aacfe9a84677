"""cursor.daily_usage: how each member worked with Cursor, day by day. There is no money in it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from convergence.connectors import FieldSpec, PageLayout, ProviderClient
from convergence.kit.window import Window
from convergence.processors.cursor._client import Paced
from convergence.processors.cursor._lists import (
    MOST_DAYS,
    ListPage,
    PostedList,
    arrange,
    build_range,
    collect_rejects,
    read_pages,
)
from convergence.processors.cursor._window import NOTHING_IS_OVER, Restatement, first_provisional_day
from convergence.steps import StepContext, StepResult
from convergence.steps.loading import DayLoad, Fetched
from convergence.steps.reports import collapse_repeats, load_windows

TABLE = "cursor_usage_daily_raw"
STREAM = "cursor.daily_usage"
_PAGE_SIZE = 1_000
_COUNTS = (
    *("totalLinesAdded", "totalLinesDeleted", "acceptedLinesAdded", "acceptedLinesDeleted", "totalApplies"),
    *("totalAccepts", "totalRejects", "totalTabsShown", "totalTabsAccepted", "composerRequests", "chatRequests"),
    *("agentRequests", "cmdkUsages", "subscriptionIncludedReqs", "usageBasedReqs", "apiKeyReqs", "bugbotUsages"),
)
_TEXTS = ("mostUsedModel", "applyMostUsedExtension", "tabMostUsedExtension", "clientVersion")


class Config(Restatement, Paced):
    """The days must be those of the steps that load usage events and cost."""


def get_engine() -> DailyUsageProcessor:
    return DailyUsageProcessor()


class DailyUsageProcessor:
    """Windows of at most thirty days."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        days = await config.choose_window(context)
        if days is None:
            return NOTHING_IS_OVER
        source = _ActivitySource(context, await config.open_client(context))
        total = await load_windows(context, DayLoad(TABLE, STREAM), source, days, most_days=MOST_DAYS)
        total.check()
        return StepResult(total.rows, total.metadata)


class _ActivitySource:
    def __init__(self, context: StepContext, client: ProviderClient) -> None:
        self._context = context
        self._client = client
        self.bytes_read = 0  # by the last read

    async def read(self, window: Window, /) -> Fetched:
        params = build_range(window, _PAGE_SIZE)
        pages = [page async for page in read_pages(self._client, DAILY_USAGE, params, window)]
        self.bytes_read = sum(page.size for page in pages)
        return self._build(pages, window)

    def _build(self, pages: list[ListPage], window: Window) -> Fetched:
        import pyarrow as pa
        import pyarrow.compute as pc

        batches = [page.decoded.rows for page in pages]
        days = pa.Table.from_batches(batches)["usage_date"]
        first_open = pa.scalar(first_provisional_day(self._context), pa.date32())
        schema = self._context.catalog.schema(TABLE)
        rows = arrange(batches, schema, is_provisional=pc.greater_equal(days, first_open))
        rows = collapse_repeats(rows, ("usage_date", "user_id", "email"), "Cursor rows")
        return Fetched(window, rows, collect_rejects(pages, window, lambda row: date.fromisoformat(row["day"])))


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


DAILY_USAGE = PostedList(
    "daily_usage",
    "/teams/daily-usage-data",
    PageLayout(
        result_fields=(
            # `date` beside it carries the time of day of the request's start.
            FieldSpec("usage_date", "day", "DATE", required=True),
            FieldSpec("user_id", "userId", from_number=True),
            FieldSpec("email"),
            FieldSpec("is_active", "isActive", "BOOL"),
            *(FieldSpec(_snake(name), name, "INT64", non_negative=True) for name in _COUNTS),
            *(FieldSpec(_snake(name), name) for name in _TEXTS),
        ),
        rows=("data[]",),
        envelope=("pagination", "period"),
        expected=frozenset({"date"}),
    ),
)
