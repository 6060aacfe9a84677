"""The cost table of a provider: reported cost handed to whoever caused it, a few days at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convergence.costs.conservation import check_conservation
from convergence.costs.prices.book import Price, PriceBook
from convergence.costs.prices.pricing import Kind, Pricing, Quote
from convergence.costs.prices.service import open_prices
from convergence.kit.window import DAY, Window
from convergence.sql import Statement
from convergence.steps import StepContext, StepResult
from convergence.steps.loading import DayLoad, Fetched, Published, ensure_tables, publish_days

if TYPE_CHECKING:
    import pyarrow as pa

MOST_USAGE_ROWS = 40_000  # in memory at a time, unless one day has more


@dataclass(frozen=True, slots=True)
class CostSource:
    """What a provider's cost table is made of.

    The statements are `{provider}/sql/{usage_by_class, reported_items, reported_totals, usage_totals}.sql`. `quoted`
    are the columns of usage that a price depends on, `quote` finds the price of one combination of them. `attribute`
    takes the reported items and the priced usage and gives the rows of the table.
    """

    provider: str
    usage_table: str
    usage_stream: str
    reported_table: str
    quoted: tuple[str, ...]
    quote: Callable[[PriceBook, Kind], Quote | None]
    attribute: Callable[[pa.Table, pa.Table], pa.Table]

    @property
    def table(self) -> str:
        return f"{self.provider}_cost_daily"

    @property
    def stream(self) -> str:
        return f"{self.provider}.cost"


async def publish_costs(context: StepContext, source: CostSource, whole: Window) -> StepResult:
    """Read in classes, price, attribute, prove that nothing was lost, publish.

    Raises:
        DataQualityError: conservation_broken: something was lost or doubled; nothing of that window is published.
    """
    await ensure_tables(context, source.usage_table)
    await ensure_tables(context, source.reported_table)
    pricing = Pricing(await _read_prices(context, source), source.quoted, source.quote)
    load, total = DayLoad(source.table, source.stream, amount_column="billed_cost"), Published()
    for window in await _cut(context, source, whole):
        rows = await _build_window(context, source, window, pricing)
        total.extend(await publish_days(context, load, Fetched(window, rows)))
        context.report(total.rows)
    return StepResult(total.rows, {**total.metadata, **pricing.metadata}, pricing.warnings)


async def _read_prices(context: StepContext, source: CostSource) -> list[Price]:
    return await open_prices(context.warehouse, context.catalog, context.tenant, source.provider)


async def _cut(context: StepContext, source: CostSource, whole: Window) -> list[Window]:
    """Windows of whole days, newest first, that hold at most MOST_USAGE_ROWS usage rows where a day allows."""
    states = await context.warehouse.scopes(context.tenant.dataset, source.usage_stream, whole)
    rows = {state.day: state.rows for state in states}
    windows: list[Window] = []
    held = 0
    for day in reversed(list(whole.days())):
        held += rows.get(day, 0)
        if windows and held <= MOST_USAGE_ROWS:
            windows[-1] = Window(day, windows[-1].end)
        else:
            windows.append(Window(day, day + DAY))
            held = rows.get(day, 0)
    return windows


async def _build_window(context: StepContext, source: CostSource, window: Window, pricing: Pricing) -> pa.Table:
    used = await _query(context, source, "usage_by_class", window)
    items = await _query(context, source, "reported_items", window)
    # In a thread: seconds of computing on the event loop would hold up the run's heartbeat.
    rows = await asyncio.to_thread(lambda: source.attribute(items, pricing.apply(used)))
    rows = _arrange(context, source, rows)
    check_conservation(
        rows,
        (await _query(context, source, "reported_totals", window)).to_pylist(),
        (await _query(context, source, "usage_totals", window)).to_pylist(),
    )
    return rows


async def _query(context: StepContext, source: CostSource, name: str, window: Window) -> pa.Table:
    sql = context.catalog.text(context.catalog.root, f"{source.provider}/sql/{name}.sql")
    days = {"start_date": window.start, "end_date": window.end}
    return await context.warehouse.query(Statement(sql, context.tenant.dataset, days))


def _arrange(context: StepContext, source: CostSource, rows: pa.Table) -> pa.Table:
    """The table's own columns, in its order."""
    schema = context.catalog.schema(source.table)
    return rows.select([column.name for column in schema.measures_and_dimensions])
