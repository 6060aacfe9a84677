"""Uploaded files as days of a table: found by the run's parameters, read in declared columns, each day replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convergence.connectors.files import FileLayout, read_rows, unpack
from convergence.connectors.strict_rows import Reject
from convergence.connectors.uploads import Upload
from convergence.errors import StepFailed
from convergence.kit.window import Window, join_days
from convergence.steps.context import StepContext
from convergence.steps.loading import DayLoad, Fetched, Published, Rejected, publish_days

if TYPE_CHECKING:
    import pyarrow as pa

DayOf = Callable[[Reject], date | None]


@dataclass(frozen=True, slots=True)
class FileTable:
    """The rows of a file, of all members of an archive together. `unknown_columns` were not asked for."""

    members: tuple[str, ...]
    rows: pa.Table
    rejects: tuple[Reject, ...]
    unknown_columns: frozenset[str]


async def find_upload(context: StepContext) -> Upload:
    """The file that the run was started for.

    Raises:
        StepFailed: upload_missing: the run has none, or it is no longer there.
    """
    sha256 = context.parameters.get("upload")
    if not isinstance(sha256, str):
        raise StepFailed(
            "the run has no file",
            code="upload_missing",
            hint="Upload it: POST /files/{org}/{provider}, or convergence files load ORG PROVIDER FILE.",
        )
    return await context.uploads.find(context.tenant, sha256)


def file_name(context: StepContext) -> str:
    """What the caller called the file."""
    return str(context.parameters.get("filename") or "upload")


def read_table(path: Path, name: str, layout: FileLayout, pattern: str = "*") -> FileTable:
    """All rows of a file, or of the members of an archive whose names match. May block.

    Raises:
        InvalidRequest, TooLarge: an archive or a file that is refused.
        StepFailed: file_without_rows.
    """
    import pyarrow as pa

    with unpack(path, name) as members:
        chosen = [member for member in members if fnmatch(member.name, pattern)]
        pieces = [piece for member in chosen for piece in read_rows(member.path, layout)]
    rejects = tuple(reject for piece in pieces for reject in piece.rejects)
    if not any(piece.rows.num_rows for piece in pieces):
        reason = f": {rejects[0].reason}" if rejects else ""
        raise StepFailed(
            f"{name} has no rows that can be read{reason}",
            code="file_without_rows",
            hint=f"Members that match {pattern!r} are read." if pattern != "*" else "Nothing was written.",
        )
    unknown = frozenset(column for piece in pieces for column in piece.unknown_fields)
    rows = pa.Table.from_batches([piece.rows for piece in pieces])
    return FileTable(tuple(member.name for member in chosen), rows, rejects, unknown)


async def publish_file(
    context: StepContext, load: DayLoad, rows: pa.Table, rejects: Sequence[Reject] = (), day_of: DayOf | None = None
) -> Published:
    """Replace the days that the rows are of, and no others.

    A refused row is kept with its own day where that could be read and has good rows, else with the first day.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    days = rows[load.day_column]
    refused = list(_place(rejects, day_of, pc.unique(days).to_pylist()))
    total = Published()
    for window in join_days(sorted(set(pc.unique(days).to_pylist()))):
        start, end = pa.scalar(window.start, pa.date32()), pa.scalar(window.end, pa.date32())
        part = rows.filter(pc.and_(pc.greater_equal(days, start), pc.less(days, end)))
        ours = [reject for reject in refused if reject.day in window]
        total.extend(await publish_days(context, load, Fetched(window, part, ours)))
        context.report(total.rows)
    return total


def days_of(rows: pa.Table, column: str) -> Window:
    """From the first to the last day that the rows are of."""
    import pyarrow.compute as pc

    ends = pc.min_max(rows[column]).as_py()
    return Window.inclusive(ends["min"], ends["max"])


def _place(rejects: Iterable[Reject], day_of: DayOf | None, days: Sequence[date]) -> Iterable[Rejected]:
    for reject in rejects:
        day: Any = day_of(reject) if day_of is not None else None
        yield Rejected(day if day in days else min(days), reject.reason, reject.error_path, reject.raw_json)
