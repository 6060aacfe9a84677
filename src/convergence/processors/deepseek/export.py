"""deepseek.export: usage and cost from an uploaded export of the console, the only place that has them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict

from convergence.connectors.files import unpack
from convergence.connectors.strict_rows import Reject
from convergence.connectors.uploads import Upload
from convergence.costs.directory import Directory
from convergence.errors import InvalidRequest
from convergence.kit.window import Window
from convergence.processors.deepseek._checks import find_unexplained
from convergence.processors.deepseek._client import PROVIDER
from convergence.processors.deepseek._export_files import KNOWN_TYPES, ExportFile, Part, mark_source, read_export
from convergence.processors.deepseek._overlaps import Coverage, align_days, join_windows, merge
from convergence.sql import Statement
from convergence.steps import StepContext, StepResult, file_days
from convergence.steps.files import file_name, find_upload
from convergence.steps.loading import DayLoad, Fetched, Published, Rejected, ensure_tables, publish_days

if TYPE_CHECKING:
    import pyarrow as pa

USAGE_TABLE: Final = "deepseek_usage_daily_raw"
REPORTED_TABLE: Final = "deepseek_reported_cost_daily_raw"
USAGE_STREAM: Final = "deepseek.usage"
LOADS: Final[dict[Part, DayLoad]] = {
    "amount": DayLoad(USAGE_TABLE, USAGE_STREAM),
    "cost": DayLoad(REPORTED_TABLE, "deepseek.reported_cost", amount_column="amount"),
}
_MOST_NAMED: Final = 5
_NO_TABLES: Final = (".txt", ".md", ".pdf")


class Config(BaseModel):
    """The file is the run's: parameters `upload` and `filename`, as POST /files gives them."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def get_engine() -> ExportProcessor:
    return ExportProcessor()


class ExportProcessor:
    """Everything is read before anything is written. Where files overlap the newest counts."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        Config.model_validate(step_config)
        upload = await find_upload(context)
        files = await asyncio.to_thread(_read_files, upload.path, file_name(context))
        total, windows, slots = Published(), [], set()
        for part, load in LOADS.items():
            chosen = [file for file in files if file.part == part]
            if chosen:
                published, window = await _publish(context, load, chosen, upload)
                total.extend(published)
                windows.append(window)
                slots |= {slot for file in chosen for slot in Coverage(file.rows).slots}
        total.check()
        await _write_keys(context, files)
        days = join_windows(windows)
        unexplained = await find_unexplained(context, days, slots)
        metadata = {"files": [file.name for file in files], "unexplained": unexplained, **file_days(days)}
        return StepResult(total.rows, {**total.metadata, **metadata}, tuple(_find_warnings(files, unexplained)))


def _read_files(path: Path, name: str) -> list[ExportFile]:
    with unpack(path, name) as members:
        files = [read_export(member) for member in members if not member.name.lower().endswith(_NO_TABLES)]
    if not files:
        raise InvalidRequest(f"{name} has no CSV file in it", code="not_an_export", hint="Upload the export as it is.")
    shifted = {slot for file in files if file.part == "cost" for slot in Coverage(_shifted(file.rows)).slots}
    return [replace(file, rows=align_days(file.rows, shifted)) if file.part == "amount" else file for file in files]


def _shifted(rows: pa.Table) -> pa.Table:
    """Days of another clock than UTC's."""
    import pyarrow.compute as pc

    return rows.filter(pc.invert(rows["is_utc_day"]))


async def _publish(
    context: StepContext, load: DayLoad, files: Sequence[ExportFile], upload: Upload
) -> tuple[Published, Window]:
    window = join_windows(Coverage(file.rows).days for file in files)
    await ensure_tables(context, load.table)
    rows = await _read_kept(context, load, window)
    for file in files:
        fresh = mark_source(file.rows, upload.sha256, upload.received_at)
        rows = await asyncio.to_thread(merge, rows, fresh, upload.received_at)
    rejects = [_rejected(reject, window) for file in files for reject in file.rejects]
    return await publish_days(context, load, Fetched(window, rows, rejects)), window


async def _read_kept(context: StepContext, load: DayLoad, window: Window) -> pa.Table:
    names = [column.name for column in context.catalog.schema(load.table).measures_and_dimensions]
    sql = f"SELECT {', '.join(names)} FROM {load.table} WHERE usage_date >= @start_date AND usage_date < @end_date"
    days = {"start_date": window.start, "end_date": window.end}
    return await context.warehouse.query(Statement(sql, context.tenant.dataset, days))


def _rejected(reject: Reject, window: Window) -> Rejected:
    start = reject.bucket.get("start_time")
    day = reject.bucket.get("utc_date") or (start.date() if start is not None else None)
    known = day if isinstance(day, date) and day in window else window.start
    return Rejected(known, reject.reason, reject.error_path, reject.raw_json)


async def _write_keys(context: StepContext, files: Sequence[ExportFile]) -> None:
    """The keys that the export names, so that a person and a team can be given to them."""
    facts = {}
    for file in files:
        if file.part == "amount":
            for row in file.rows.group_by(["api_key_name", "api_key"]).aggregate([]).to_pylist():
                name = " ".join(text for text in (row["api_key_name"], row["api_key"]) if text)
                facts[name] = {"api_key_id": name, "name": row["api_key_name"], "masked_key": row["api_key"]}
    facts.pop("", None)
    nobody = {"project_id": None, "owner_id": None, "owner_type": None, "person": None}
    await Directory(context, PROVIDER).write_keys([{**fact, **nobody} for fact in facts.values()])


@dataclass(slots=True)
class _Seen:
    types: set[str] = field(default_factory=set)
    columns: set[str] = field(default_factory=set)
    shifted: int = 0
    provisional: set[date] = field(default_factory=set)


def _find_warnings(files: Sequence[ExportFile], unexplained: Sequence[str]) -> Iterator[str]:
    import pyarrow.compute as pc

    seen = _Seen()
    for file in files:
        seen.columns |= file.unknown_columns
        seen.shifted += pc.sum(pc.invert(file.rows["is_utc_day"])).as_py() or 0
        if file.part == "amount":
            seen.types |= set(pc.unique(file.rows["type"]).to_pylist()) - KNOWN_TYPES
    if seen.types:
        yield f"types of usage that are new and were kept: {_listed(seen.types)}"
    if seen.columns:
        yield f"columns that are new and were left out: {_listed(seen.columns)}"
    if seen.shifted:
        yield (
            f"{seen.shifted} rows are of days that do not start at 00:00 UTC, so their usage_date is approximate;"
            " export by the hour, or with the browser's clock in UTC"
        )
    if {file.part for file in files} == {"amount"}:
        yield "no cost file came with it: the usage is an estimate until one does"
    if unexplained:
        yield f"price x amount is not the cost of {len(unexplained)} days and models: {_listed(unexplained)}"


def _listed(names: set[str] | Sequence[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:_MOST_NAMED]) + (", ..." if len(shown) > _MOST_NAMED else "")
