"""gcp.billing_file: an uploaded file of billing export rows, into the tables that gcp.bq_etl fills."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from convergence.catalog.schemas import TableSchema
from convergence.connectors.files import unpack
from convergence.errors import DataQualityError, StepFailed
from convergence.kit.window import Window, join_days
from convergence.processors.gcp._billing_rows import PARTITION, TABLE, UPLOAD, BillingRows, build_rows, empty_rows
from convergence.processors.gcp._files import read_file
from convergence.processors.gcp._publishing import Partitions, cut_days, list_days, publish_partitions
from convergence.steps import StepContext, StepResult
from convergence.steps.loading import Fetched, Rejected


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
        total = Partitions()
        for window in join_days(list_days(found.rows, PARTITION)):
            total.extend(await publish_partitions(context, cut_days(found, window), [UPLOAD]))
            context.report(total.published.rows)
        published = total.published
        published.faults |= {day: _refuse(name, day, *rows) for day, rows in total.smaller.items()}
        published.check()
        return StepResult(published.rows, published.metadata)


async def _find_file(context: StepContext) -> tuple[Path, str]:
    upload, name = context.parameters.get("upload"), context.parameters.get("filename")
    if not isinstance(upload, str):
        raise StepFailed(
            f"step {context.step_id} needs an uploaded file", hint="convergence files load gcp FILE, or POST /files."
        )
    return await context.uploads.open(context.tenant, upload), str(name or "the file")


def _read_all(path: Path, name: str, schema: TableSchema) -> Fetched:
    import pyarrow as pa

    with unpack(path, name) as members:
        parts = [build_rows(read_file(member.path, member.name, schema), schema, UPLOAD) for member in members]
    rows = pa.concat_tables([empty_rows(schema), *(part.rows for part in parts)])
    if not rows.num_rows:
        raise StepFailed(f"{name} has no rows that can be read", code="file_unreadable")
    days = list_days(rows, PARTITION)
    return Fetched(Window.inclusive(days[0], days[-1]), rows, _place(parts, days))


def _place(parts: Sequence[BillingRows], days: Sequence[date]) -> list[Rejected]:
    """A bad row without a good one of its day counts to the first day."""
    rejects = (reject for part in parts for reject in part.rejects)
    return [reject if reject.day in days else reject._replace(day=days[0]) for reject in rejects]


def _refuse(name: str, day: date, found: int, loaded: int) -> DataQualityError:
    return DataQualityError(
        f"{name} holds {found} rows that were exported on {day}, and {loaded} are there; the old rows stay",
        code="partial_file",
        hint="Export whole days: WHERE DATE(_PARTITIONTIME) BETWEEN ..., without a filter on usage or project.",
    )
