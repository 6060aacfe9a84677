"""Rows that replace no days: added, merged by keys, or put in the place of all that was there."""

from __future__ import annotations

from convergence.errors import DataQualityError
from convergence.kit.window import Window
from convergence.processors.rest._pages import DeclaredList
from convergence.steps import StepContext, StepResult
from convergence.steps.loading import (
    DayLoad,
    Fetched,
    add_lineage,
    build_reject_rows,
    ensure_tables,
    stream_batches,
)
from convergence.warehouse import Claim, WriteMode
from convergence.warehouse.requests import WHOLE_TABLE


async def load_whole(
    context: StepContext, load: DayLoad, source: DeclaredList, days: Window, mode: WriteMode, *, most_days: int
) -> StepResult:
    """Read everything, then write it in one transaction. A step that is tried again appends nothing twice.

    Raises:
        DataQualityError: too_many_bad_rows, or unstable_source: a list that fell by more than half and that two reads
            do not agree on. Nothing was written.
    """
    await ensure_tables(context, load.table)
    fetched = await _read(source, days, most_days)
    _check_rejects(context, load, fetched)
    if mode is WriteMode.OVERWRITE and await _has_shrunk(context, load, fetched):
        await context.clock.sleep(context.limits.shrink_recheck)
        _check_same(load, fetched, await _read(source, days, most_days))
    run = context.run
    loaded = await context.warehouse.load(
        context.tenant.table(load.table),
        stream_batches(add_lineage(fetched.rows, context)),
        mode=mode,
        keys=source.keys if mode is WriteMode.MERGE else (),
        claim=Claim(load.stream, run.run_id, run.fence, f"{run.run_id}.{context.step_id}", load.amount_column),
        rejects=add_lineage(build_reject_rows(load, fetched.rejects), context),
    )
    return StepResult(loaded.rows, {"rows": loaded.rows, "rows_rejected": loaded.rejected, **source.metadata})


async def _read(source: DeclaredList, days: Window, most_days: int) -> Fetched:
    import pyarrow as pa

    windows = list(days.chunks(most_days)) if source.names_days else [days]
    parts = [await source.read(window) for window in windows]
    rejects = [reject for part in parts for reject in part.rejects]
    return Fetched(days, source.collapse(pa.concat_tables([part.rows for part in parts])), rejects)


def _check_rejects(context: StepContext, load: DayLoad, fetched: Fetched) -> None:
    bad, limits = len(fetched.rejects), context.limits
    rows = bad + fetched.rows.num_rows
    if bad > max(limits.max_bad_rows, limits.max_bad_row_share * rows):
        raise DataQualityError(
            f"{load.table}: {bad} of {rows} rows are bad (the first: {fetched.rejects[0].reason}); nothing was written",
            code="too_many_bad_rows",
            hint="See whether the provider changed its format; MAX_BAD_ROWS and MAX_BAD_ROW_SHARE set the limit.",
        )


async def _has_shrunk(context: StepContext, load: DayLoad, fetched: Fetched) -> bool:
    states = await context.warehouse.scopes(context.tenant.dataset, load.stream, Window.day(WHOLE_TABLE))
    return any(fetched.rows.num_rows * 2 < state.rows for state in states)


def _check_same(load: DayLoad, first: Fetched, second: Fetched) -> None:
    order = [(name, "ascending") for name in first.rows.column_names]
    if not first.rows.sort_by(order).equals(second.rows.sort_by(order)):
        raise DataQualityError(
            f"{load.table} fell by more than half and two reads do not agree; the old rows stay",
            code="unstable_source",
            hint="The provider is restating its list. Run it again later.",
        )
