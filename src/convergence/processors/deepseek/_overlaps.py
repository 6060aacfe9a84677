"""Which rows count where files overlap: by account, model and day of the exporter's clock, those of the newest file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from convergence.costs.kinds import number_kinds
from convergence.kit.window import DAY, Window, midnight

if TYPE_CHECKING:
    import pyarrow as pa

_SLOT = ("user_id", "model", "export_date", "offset_minutes")
_PERIOD = ("user_id", "model", "start_time", "end_time")


class Slot(NamedTuple):
    """What a file tells of as a whole: a model of an account on a day of the exporter's clock."""

    user_id: str
    model: str
    export_date: date
    offset_minutes: int

    @property
    def start(self) -> datetime:
        return midnight(self.export_date) - timedelta(minutes=self.offset_minutes)

    @property
    def end(self) -> datetime:
        return self.start + DAY

    @property
    def main_day(self) -> date:
        """The UTC day that holds most of it."""
        return (self.start + DAY / 2).date()


class Coverage:
    """The slots that some rows lie in."""

    def __init__(self, rows: pa.Table) -> None:
        kinds, _ = number_kinds(rows, _SLOT)
        self.slots = {Slot(**kind) for kind in kinds}
        self._spans: defaultdict[tuple[str, str], list[Slot]] = defaultdict(list)
        for slot in self.slots:
            self._spans[slot.user_id, slot.model].append(slot)

    @property
    def days(self) -> Window | None:
        """The UTC days that any of it touches; None where there are no rows."""
        if not self.slots:
            return None
        last = max(slot.end for slot in self.slots) - timedelta(microseconds=1)
        return Window.inclusive(min(slot.start for slot in self.slots).date(), last.date())

    def holds(self, period: dict[str, Any]) -> bool:
        """Whether the middle of a row's period lies in it: files of other clocks share a day only in part."""
        middle = period["start_time"] + (period["end_time"] - period["start_time"]) / 2
        spans = self._spans.get((period["user_id"], period["model"]), ())
        return any(slot.start <= middle < slot.end for slot in spans)


def merge(kept: pa.Table, fresh: pa.Table, received_at: datetime) -> pa.Table:
    """The rows of a table, and those of a file in place of what older files told of the same slots."""
    import pyarrow as pa
    import pyarrow.compute as pc

    is_newer = pc.greater(kept["file_received_at"], pa.scalar(received_at, kept["file_received_at"].type))
    newer, older = kept.filter(is_newer), kept.filter(pc.invert(is_newer))
    parts = (newer, _outside(older, Coverage(fresh)), _outside(fresh, Coverage(newer)))
    return pa.concat_tables([part.select(kept.column_names).cast(kept.schema) for part in parts])


def align_days(rows: pa.Table, slots: Collection[Slot]) -> pa.Table:
    """The rows of these slots on the slots' main days: hours whose cost is told by the day only stay beside it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not slots:
        return rows
    kinds, places = number_kinds(rows, _SLOT)
    found = [slot.main_day if (slot := Slot(**kind)) in slots else None for kind in kinds]
    days = pc.coalesce(pa.array(found, pa.date32()).take(places), rows["usage_date"])
    return rows.set_column(rows.schema.get_field_index("usage_date"), "usage_date", days)


def join_windows(windows: Iterable[Window | None]) -> Window:
    """The days from the first to the last of them."""
    found = [window for window in windows if window is not None]
    return Window(min(window.start for window in found), max(window.end for window in found))


def _outside(rows: pa.Table, coverage: Coverage) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not rows.num_rows or not coverage.slots:
        return rows
    kinds, places = number_kinds(rows, _PERIOD)
    is_held = pa.array([coverage.holds(kind) for kind in kinds])
    return rows.filter(pc.invert(is_held.take(places)))
