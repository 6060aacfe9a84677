"""gcp.billing_file: an uploaded file of billing export rows, into the tables that gcp.bq_etl fills."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from convergence.catalog.schemas import TableSchema
from convergence.connectors.files import unpack
from convergence.errors import DataQualityError, StepFailed
from convergence.kit.window import Window, join_days
from convergence.processors.gcp._billing_rows import PARTITION, TABLE, UPLOAD, BillingRows, build_rows, empty_rows
from convergence.processors.gcp._files import read_file
from convergence.processors.gcp._publishing import count_committed, keep_others, list_days, publish_partitions
from convergence.steps import StepContext, StepResult
from convergence.steps.loading import Fetched, Published

if TYPE_CHECKING:
    import pyarrow as pa


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def get_engine() -> BillingFileProcessor:
    return BillingFileProcessor()


class BillingFileProcessor:
    """Load partitions are replaced whole, so a file must hold whole ones: it is refused where it has fewer rows of a
    day than are there. Google never takes a row back."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        Config.model_validate(step_config)
        path, name = await _find_file(context)
        found = await asyncio.to_thread(_read_all, path, name, context.catalog.schema(TABLE))
        total = Published()
        for window in join_days(_days(found)):
            total.extend(await _publish(context, _cut(found, window), name))
            context.report(total.rows)
        total.check()
        return StepResult(total.rows, total.metadata)


async def _find_file(context: StepContext) -> tuple[Path, str]:
    upload, name = context.parameters.get("upload"), context.parameters.get("filename")
    if not isinstance(upload, str):
        raise StepFailed(
            f"step {context.step_id} needs an uploaded file", hint="convergence files load gcp FILE, or POST /files."
        )
    return await context.uploads.open(context.tenant, upload), str(name or "the file")


def _read_all(path: Path, name: str, schema: TableSchema) -> BillingRows:
    import pyarrow as pa

    with unpack(path, name) as members:
        parts = [build_rows(read_file(member.path, member.name, schema), schema, UPLOAD) for member in members]
    rows = pa.concat_tables([empty_rows(schema), *(part.rows for part in parts)])
    if not rows.num_rows:
        raise StepFailed(f"{name} has no rows that can be read", code="file_unreadable")
    return BillingRows(rows, tuple(reject for part in parts for reject in part.rejects))


def _days(found: BillingRows) -> list[date]:
    return list_days(found.rows, PARTITION)


def _cut(found: BillingRows, window: Window) -> Fetched:
    """The window's rows. A bad row without a day of its own counts to the first."""
    import pyarrow.compute as pc

    days, first = set(_days(found)), _days(found)[0]
    rejects = [reject if reject.day in days else reject._replace(day=first) for reject in found.rejects]
    column = found.rows[PARTITION]
    rows = found.rows.filter(pc.and_(pc.greater_equal(column, window.start), pc.less(column, window.end)))
    return Fetched(window, rows, [reject for reject in rejects if reject.day in window])


async def _publish(context: StepContext, fetched: Fetched, name: str) -> Published:
    """The days that hold at least as many rows as are there; the others keep theirs."""
    whole = await keep_others(context, fetched)
    committed = await count_committed(context, whole.window)
    partial = {day: rows for day, rows in _count(whole.rows).items() if rows < committed.get(day, 0)}
    total = Published(faults={day: _partial(name, day, rows, committed[day]) for day, rows in partial.items()})
    for window in join_days(day for day in whole.window.days() if day not in partial):
        total.extend(await publish_partitions(context, _within(fetched, window)))
    return total


def _within(fetched: Fetched, window: Window) -> Fetched:
    return _cut(BillingRows(fetched.rows, tuple(fetched.rejects)), window)


def _count(rows: pa.Table) -> dict[date, int]:
    counted = rows.group_by(PARTITION).aggregate([([], "count_all")]).to_pylist()
    return {row[PARTITION]: row["count_all"] for row in counted}


def _partial(name: str, day: date, found: int, committed: int) -> DataQualityError:
    return DataQualityError(
        f"{name} holds {found} rows that were exported on {day}, and {committed} are there; the old rows stay",
        code="partial_file",
        hint="Export whole days: WHERE DATE(_PARTITIONTIME) BETWEEN ..., without a filter on usage or project.",
    )
