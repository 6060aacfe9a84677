"""cursor.spend: what each member has spent since the billing cycle began, as it stands today."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from convergence.connectors import FieldSpec, PageLayout, PageNumber, ProviderClient
from convergence.connectors.layout import AmountUnit
from convergence.errors import ProviderMisbehaved
from convergence.kit.clock import today
from convergence.kit.window import Window
from convergence.processors.cursor._client import CURRENCY, Paced
from convergence.processors.cursor._lists import ListPage, PostedList, arrange, collect_rejects, read_pages
from convergence.steps import StepContext, StepResult
from convergence.steps.loading import DayLoad, Fetched, publish_days

if TYPE_CHECKING:
    import pyarrow as pa

TABLE = "cursor_spend_snapshot_raw"
STREAM = "cursor.spend"
_PARAMS = (("sortBy", "user"), ("sortDirection", "asc"), ("page", "1"), ("pageSize", "100"))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LIMITS = {
    "hard_limit_override_dollars": "hardLimitOverrideDollars",
    "monthly_limit_dollars": "monthlyLimitDollars",
    "effective_per_user_limit_dollars": "effectivePerUserLimitDollars",
}


class Config(Paced):
    """`amount_unit` is what the provider's spend counts; limits are whole dollars always."""

    amount_unit: AmountUnit


def get_engine() -> SpendProcessor:
    return SpendProcessor()


class SpendProcessor:
    """One snapshot a day: a later one of the same day takes its place, and none is ever added to another."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        client = await config.open_client(context)
        day = Window.day(today(context.clock))
        pages = await _read(client, build_list(config.amount_unit), day)
        load = DayLoad(TABLE, STREAM, day_column="snapshot_date")
        published = await publish_days(context, load, _fetch(context, pages, day))
        published.check()
        return StepResult(published.rows, {**published.metadata, "cycle_start": read_cycle(pages).isoformat()})


def build_list(unit: AmountUnit) -> PostedList:
    fields = (
        FieldSpec("user_id", "userId", required=True, from_number=True),
        *(FieldSpec(name) for name in ("name", "email", "role")),
        FieldSpec("spend_amount", "spendCents", "NUMERIC", unit=unit),
        FieldSpec("overall_spend_amount", "overallSpendCents", "NUMERIC", unit=unit),
        FieldSpec("fast_premium_requests", "fastPremiumRequests", "INT64"),
        *(FieldSpec(name, source, "NUMERIC") for name, source in _LIMITS.items()),
    )
    envelope = ("subscriptionCycleStart", "totalMembers", "totalPages")
    layout = PageLayout(result_fields=fields, rows=("teamMemberSpend[]",), envelope=envelope)
    return PostedList("spend", "/teams/spend", layout, PageNumber(total_pages="totalPages"))


async def _read(client: ProviderClient, posted: PostedList, day: Window) -> list[ListPage]:
    return [page async for page in read_pages(client, posted, _PARAMS, day)]


def read_cycle(pages: list[ListPage]) -> datetime:
    """When the billing cycle began.

    Raises:
        ProviderMisbehaved: it is not said, or a new one began between two pages.
    """
    starts = {page.envelope.get("subscriptionCycleStart") for page in pages}
    start = starts.pop()
    if starts or not isinstance(start, int) or isinstance(start, bool) or start < 0:
        raise ProviderMisbehaved(
            "the spend does not say when its one billing cycle began; nothing was written", code="cycle_unknown"
        )
    return _EPOCH + timedelta(milliseconds=start)


def _fetch(context: StepContext, pages: list[ListPage], day: Window) -> Fetched:
    rows = arrange(
        [page.decoded.rows for page in pages],
        context.catalog.schema(TABLE),
        snapshot_date=day.start,
        subscription_cycle_start=read_cycle(pages),
        currency=CURRENCY,
    )
    return Fetched(day, _last_of_each_user(rows), collect_rejects(pages, day, lambda _: day.start))


def _last_of_each_user(rows: pa.Table) -> pa.Table:
    """Who moved to a later page while the pages were read is there twice."""
    places = {user: place for place, user in enumerate(rows["user_id"].to_pylist())}
    return rows.take(list(places.values())) if len(places) < rows.num_rows else rows
