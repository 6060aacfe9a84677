"""cursor.usage_events: every usage event of the team with what it was charged. This is where the money comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convergence.connectors import ProviderClient
from convergence.connectors.layout import AmountUnit
from convergence.errors import ProviderUnavailable
from convergence.kit.window import Window
from convergence.processors.cursor._client import Paced
from convergence.processors.cursor._events import build_events, build_list, read_day
from convergence.processors.cursor._lists import MOST_DAYS, ListPage, build_range, collect_rejects, read_pages
from convergence.processors.cursor._window import NOTHING_IS_OVER, Restatement, first_provisional_day
from convergence.steps import StepContext, StepResult
from convergence.steps.loading import DayLoad, Fetched
from convergence.steps.reports import load_windows

TABLE = "cursor_usage_events_raw"
STREAM = "cursor.usage_events"
_ALLOWANCE = "filtered-usage-events"
_PAGE_SIZE = 1_000


class Config(Restatement, Paced):
    """`amount_unit` is what the provider's amounts count; whole units of the currency are stored."""

    amount_unit: AmountUnit


def get_engine() -> UsageEventsProcessor:
    return UsageEventsProcessor()


class UsageEventsProcessor:
    """Windows of at most thirty days that are over, newest first."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        days = await config.choose_window(context)
        if days is None:
            return NOTHING_IS_OVER
        source = _EventSource(context, await config.open_client(context, _ALLOWANCE), config.amount_unit)
        load = DayLoad(TABLE, STREAM, amount_column="charged_amount")
        total = await load_windows(context, load, source, days, most_days=MOST_DAYS)
        total.check()
        return StepResult(total.rows, total.metadata, source.warnings)


class _EventSource:
    def __init__(self, context: StepContext, client: ProviderClient, unit: AmountUnit) -> None:
        self._context = context
        self._client = client
        self._list = build_list(unit)
        self._unknown: frozenset[str] = frozenset()
        self.bytes_read = 0  # by the last read

    @property
    def warnings(self) -> tuple[str, ...]:
        if not self._unknown:
            return ()
        return (f"Cursor sends fields that no column takes: {', '.join(sorted(self._unknown))}",)

    async def read(self, window: Window, /) -> Fetched:
        params = build_range(window, _PAGE_SIZE)
        pages = [page async for page in read_pages(self._client, self._list, params, window)]
        check_count(pages, window)
        self.bytes_read = sum(page.size for page in pages)
        self._unknown |= frozenset().union(*(page.decoded.unknown_fields for page in pages))
        rows = build_events(
            [page.decoded.rows for page in pages],
            self._context.catalog.schema(TABLE),
            first_provisional_day(self._context),
        )
        return Fetched(window, rows, collect_rejects(pages, window, read_day))


def check_count(pages: list[ListPage], window: Window) -> None:
    """As many events as Cursor says there are, and the same number on every page.

    Raises:
        ProviderUnavailable: count_disagrees: an event came late and moved the pages, or some are missing.
    """
    promised = {page.envelope.get("totalUsageEventsCount") for page in pages}
    found = sum(page.count for page in pages)
    if promised != {found}:
        said = " and then ".join(sorted(map(str, promised)))
        raise ProviderUnavailable(
            f"Cursor promises {said} usage events of {window} and sends {found}; nothing of it was written",
            code="count_disagrees",
            hint="Events came while the pages were read. The run is tried again.",
        )
