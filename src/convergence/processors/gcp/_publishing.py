"""Whole load partitions replaced in gcp_billing_daily_raw, the rows of other billing accounts kept."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from convergence.kit.window import Window
from convergence.processors.gcp._billing_rows import PARTITION, STREAM, TABLE
from convergence.sql import Parameter, Statement
from convergence.steps import StepContext
from convergence.steps.loading import DayLoad, FetchAgain, Fetched, Published, ensure_tables, publish_days

if TYPE_CHECKING:
    import pyarrow as pa

LOAD = DayLoad(TABLE, STREAM, day_column=PARTITION, amount_column="net_cost")


async def publish_partitions(
    context: StepContext, fetched: Fetched, *, fetch_again: FetchAgain | None = None
) -> Published:
    """Replace the partitions of a window. Nothing in it is ever made distinct: identical rows are legitimate.

    Several exports, or files, may hold an account each; the rows of accounts that these rows do not name stay.
    """
    return await publish_days(context, LOAD, await keep_others(context, fetched), fetch_again=fetch_again)


async def keep_others(context: StepContext, fetched: Fetched) -> Fetched:
    """These rows, with those of other accounts that lie in the same partitions."""
    import pyarrow as pa

    await ensure_tables(context, TABLE)
    sql = context.catalog.text(context.catalog.root, "gcp/sql/other_accounts.sql")
    accounts = [account or "" for account in fetched.rows["billing_account_id"].unique().to_pylist()]
    window = fetched.window
    days: dict[str, Parameter] = {"start_date": window.start, "end_date": window.end, "accounts": accounts or [""]}
    others = await context.warehouse.query(Statement(sql, context.tenant.dataset, days))
    if not others.num_rows:
        return fetched
    rows = pa.concat_tables([fetched.rows, others.select(fetched.rows.column_names).cast(fetched.rows.schema)])
    return Fetched(window, rows, fetched.rejects)


async def count_committed(context: StepContext, window: Window) -> dict[date, int]:
    """Rows of each partition that was ever loaded."""
    states = await context.warehouse.scopes(context.tenant.dataset, STREAM, window)
    return {state.day: state.rows for state in states}


def list_days(rows: pa.Table, column: str) -> list[date]:
    """The days in it, in order."""
    days: list[date] = sorted(rows[column].unique().to_pylist())
    return days
