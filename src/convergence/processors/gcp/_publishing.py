"""Whole load partitions replaced in gcp_billing_daily_raw, and never by fewer rows.

Google never takes a row back. A partition that has become smaller was read in part, or has expired at its owner's: the
rows that are there stay.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from convergence.kit.window import Window, join_days
from convergence.processors.gcp._billing_rows import PARTITION, STREAM, TABLE
from convergence.sql import Parameter, Statement
from convergence.steps import StepContext
from convergence.steps.loading import DayLoad, Fetched, Published, ensure_tables, publish_days

if TYPE_CHECKING:
    import pyarrow as pa

LOAD = DayLoad(TABLE, STREAM, day_column=PARTITION, amount_column="net_cost")
Counts = Mapping[tuple[date, str], int]


@dataclass(slots=True)
class Partitions:
    """What came of partitions. `smaller` ones kept their rows: by day, how many were found and how many are there."""

    published: Published = field(default_factory=Published)
    smaller: dict[date, tuple[int, int]] = field(default_factory=dict)

    def extend(self, other: Partitions) -> None:
        self.published.extend(other.published)
        self.smaller.update(other.smaller)


async def publish_partitions(context: StepContext, fetched: Fetched, tables: Collection[str]) -> Partitions:
    """Replace the partitions of a window by the rows of these export tables.

    Nothing is ever made distinct: identical rows are legitimate. Several exports, or files, may hold an account each;
    the rows of accounts that these rows do not name stay.
    """
    await ensure_tables(context, TABLE)
    whole = await _keep_others(context, fetched)
    done = Partitions(smaller=_find_smaller(whole.rows, await _count_loaded(context, whole.window), tables))
    for window in join_days(day for day in whole.window.days() if day not in done.smaller):
        done.published.extend(await publish_days(context, LOAD, cut_days(whole, window)))
    return done


def cut_days(fetched: Fetched, window: Window) -> Fetched:
    """The part of it that lies in the window."""
    import pyarrow.compute as pc

    days = fetched.rows[PARTITION]
    rows = fetched.rows.filter(pc.and_(pc.greater_equal(days, window.start), pc.less(days, window.end)))
    return Fetched(window, rows, [reject for reject in fetched.rejects if reject.day in window])


async def count_committed(context: StepContext, window: Window) -> dict[date, int]:
    """Rows of each partition that was ever loaded."""
    states = await context.warehouse.scopes(context.tenant.dataset, STREAM, window)
    return {state.day: state.rows for state in states}


def list_days(rows: pa.Table, column: str) -> list[date]:
    """The days in it, in order."""
    days: list[date] = sorted(rows[column].unique().to_pylist())
    return days


async def _keep_others(context: StepContext, fetched: Fetched) -> Fetched:
    """These rows, with those of other accounts that lie in the same partitions."""
    import pyarrow as pa

    accounts = [account or "" for account in fetched.rows["billing_account_id"].unique().to_pylist()]
    others = await _query(context, "other_accounts", fetched.window, accounts=accounts or [""])
    if not others.num_rows:
        return fetched
    rows = pa.concat_tables([fetched.rows, others.select(fetched.rows.column_names).cast(fetched.rows.schema)])
    return Fetched(fetched.window, rows, fetched.rejects)


async def _count_loaded(context: StepContext, window: Window) -> Counts:
    rows = (await _query(context, "loaded_rows", window)).to_pylist()
    return {(row[PARTITION], row["export_table"]): row["row_count"] for row in rows}


def _find_smaller(rows: pa.Table, loaded: Counts, tables: Collection[str]) -> dict[date, tuple[int, int]]:
    """Another table than before may well have fewer rows of the same money: the standard export has."""
    counted = rows.group_by([PARTITION, "export_table"]).aggregate([([], "count_all")]).to_pylist()
    found = {(row[PARTITION], row["export_table"]): row["count_all"] for row in counted}
    return {
        day: (found.get((day, table), 0), count)
        for (day, table), count in loaded.items()
        if table in tables and found.get((day, table), 0) < count
    }


async def _query(context: StepContext, name: str, window: Window, **parameters: Parameter) -> pa.Table:
    sql = context.catalog.text(context.catalog.root, f"gcp/sql/{name}.sql")
    values: dict[str, Parameter] = {"start_date": window.start, "end_date": window.end, **parameters}
    return await context.warehouse.query(Statement(sql, context.tenant.dataset, values))
