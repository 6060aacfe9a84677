"""The CSV files of the console's export: amounts and costs, each in the older schema by UTC day and the newer one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

from convergence.connectors.files import FileLayout, Member, read_header, read_rows
from convergence.connectors.layout import FieldSpec
from convergence.connectors.strict_rows import Reject
from convergence.errors import InvalidRequest, StepFailed

if TYPE_CHECKING:
    import pyarrow as pa

Part = Literal["amount", "cost"]
KNOWN_TYPES: Final = frozenset({"input_cache_hit_tokens", "input_cache_miss_tokens", "output_tokens", "request_count"})
_ACCOUNT: Final = (FieldSpec("user_id", required=True), FieldSpec("model", required=True))
_DAY: Final = (FieldSpec("utc_date", type="DATE", required=True),)
_PERIOD: Final = (
    FieldSpec("start_time", "start_time_iso", "TIMESTAMP", required=True, time_format="rfc3339"),
    FieldSpec("end_time", "end_time_iso", "TIMESTAMP", required=True, time_format="rfc3339"),
    FieldSpec("start_time_iso", required=True),
    FieldSpec("end_time_iso", required=True),
)
_PARTS: Final[dict[Part, tuple[FieldSpec, ...]]] = {
    "amount": (
        FieldSpec("api_key_name"),
        FieldSpec("api_key"),
        FieldSpec("type", required=True),
        FieldSpec("price_per_million", "price", "NUMERIC", non_negative=True, unit="millions"),
        FieldSpec("amount", type="INT64", required=True, non_negative=True),
    ),
    "cost": (
        FieldSpec("wallet_type"),
        FieldSpec("amount", "cost", "NUMERIC", required=True),
        FieldSpec("currency", required=True),
    ),
}
_MASKED: Final = r"^([^*]{1,8}).*?([^*]{4})$"
_SHORTEST_KEY: Final = 12


@dataclass(frozen=True, slots=True)
class ExportFile:
    """One CSV: its rows in the raw table's columns, but for where they come from."""

    part: Part
    name: str
    rows: pa.Table
    rejects: list[Reject]
    unknown_columns: frozenset[str]


def read_export(member: Member) -> ExportFile:
    """All rows of one CSV. May block.

    Raises:
        InvalidRequest: it is none of the export's files.
        StepFailed: file_without_rows.
    """
    import pyarrow as pa

    part, by_day = _recognize(member)
    layout = FileLayout((*_ACCOUNT, *(_DAY if by_day else _PERIOD), *_PARTS[part]))
    pieces = list(read_rows(member.path, layout))
    rejects = [reject for piece in pieces for reject in piece.rejects]
    rows = pa.Table.from_batches([piece.rows for piece in pieces]) if pieces else None
    if rows is None or not rows.num_rows:
        raise StepFailed(
            f"{member.name} has no rows that can be read{f': {rejects[0].reason}' if rejects else ''}",
            code="file_without_rows",
            hint="Export days with usage: Console > Usage > Export.",
        )
    unknown = frozenset(name for piece in pieces for name in piece.unknown_fields)
    rows = _place(_add_day_period(rows) if by_day else rows)
    return ExportFile(part, member.name, _mask_keys(rows) if part == "amount" else rows, rejects, unknown)


def _recognize(member: Member) -> tuple[Part, bool]:
    """Which file it is, and whether it is by UTC day."""
    names = set(read_header(member.path))
    part: Part | None = "amount" if {"type", "amount"} <= names else "cost" if "cost" in names else None
    if part is None or not names & {"utc_date", "start_time_iso"}:
        raise InvalidRequest(
            f"{member.name[:100]!r} is no file of DeepSeek's usage export",
            code="not_an_export",
            hint="Upload the ZIP of Console > Usage > Export as it is, or the amount and cost CSV in it.",
        )
    return part, "start_time_iso" not in names


def _add_day_period(rows: pa.Table) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    start = rows["utc_date"].cast(pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
    end = pc.add(start, pa.scalar(timedelta(days=1), pa.duration("us")))
    texts = pa.nulls(rows.num_rows, pa.string())
    for name, values in {"start_time": start, "end_time": end, "start_time_iso": texts, "end_time_iso": texts}.items():
        rows = rows.append_column(name, values)
    return rows.drop_columns(["utc_date"])


def _place(rows: pa.Table) -> pa.Table:
    """usage_date, export_date, offset_minutes and is_utc_day of every row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    start, end = rows["start_time"], rows["end_time"]
    offset = _offset_minutes(rows)
    local = pc.add(start, pc.multiply(offset, 60_000_000).cast(pa.duration("us")))
    middle = pc.add(start, pc.divide(pc.subtract(end, start).cast(pa.int64()), 2).cast(pa.duration("us")))
    last = pc.subtract(end, pa.scalar(timedelta(microseconds=1), pa.duration("us")))
    columns = {
        "usage_date": middle.cast(pa.date32()),
        "export_date": local.cast(pa.date32()),
        "offset_minutes": offset,
        "is_utc_day": pc.equal(start.cast(pa.date32()), last.cast(pa.date32())),
    }
    for name, values in columns.items():
        rows = rows.append_column(name, values)
    return rows


def _offset_minutes(rows: pa.Table) -> pa.ChunkedArray:
    """What the clock in the text is ahead of UTC."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = rows["start_time_iso"]
    clock = pc.extract_regex(texts, r"(?P<sign>[+-])(?P<hours>\d{2}):?(?P<minutes>\d{2})$")
    hours = pc.struct_field(clock, "hours").cast(pa.int64())
    minutes = pc.add(pc.multiply(hours, 60), pc.struct_field(clock, "minutes").cast(pa.int64()))
    signed = pc.if_else(pc.equal(pc.struct_field(clock, "sign"), "-"), pc.negate(minutes), minutes)
    return pc.fill_null(signed, 0)


def _mask_keys(rows: pa.Table) -> pa.Table:
    """Exports show keys masked; one was once seen that did not. The length of the mask has changed too."""
    import pyarrow as pa
    import pyarrow.compute as pc

    keys = pc.utf8_trim_whitespace(rows["api_key"])
    masked = pc.replace_substring_regex(keys, _MASKED, r"\1***\2")
    is_short = pc.less(pc.utf8_length(keys), _SHORTEST_KEY)
    safe = pc.if_else(pc.or_(is_short, pc.invert(pc.match_substring(masked, "***"))), "***", masked)
    safe = pc.if_else(pc.is_null(keys), pa.scalar(None, pa.string()), safe)
    return rows.set_column(rows.schema.get_field_index("api_key"), "api_key", safe)


def mark_source(rows: pa.Table, sha256: str, received_at: datetime) -> pa.Table:
    """Which file the rows come from, and whether their day was over when it came."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, day = pa.timestamp("us", tz="UTC"), pa.scalar(timedelta(days=1), pa.duration("us"))
    received = pa.scalar(received_at.astimezone(UTC), kind)
    days = pc.add(rows["usage_date"].cast(pa.timestamp("us")).cast(kind), day)
    is_open = pc.or_(pc.greater(days, received), pc.greater(rows["end_time"], received))
    rows = rows.append_column("is_provisional", is_open)
    rows = rows.append_column("source_file", pa.repeat(pa.scalar(sha256), rows.num_rows))
    return rows.append_column("file_received_at", pa.repeat(received, rows.num_rows))
