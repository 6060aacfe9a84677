"""Whatever files overlap however, each slot has the rows of the newest one, and no row counts twice."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence.kit.window import midnight
from convergence.processors.deepseek._overlaps import merge

FIRST = date(2026, 11, 1)
MODELS = ("flash", "pro")
SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("model", pa.string()),
        ("export_date", pa.date32()),
        ("offset_minutes", pa.int64()),
        ("start_time", pa.timestamp("us", tz="UTC")),
        ("end_time", pa.timestamp("us", tz="UTC")),
        ("file_received_at", pa.timestamp("us", tz="UTC")),
        ("amount", pa.int64()),
    ]
)
Slot = tuple[str, str, int]


def rows_of(slots: dict[Slot, int], received: datetime, hours: int) -> pa.Table:
    """A file: `amount` of each account, model and UTC day, in periods of so many hours."""
    rows: list[dict[str, Any]] = []
    for (user, model, day), amount in slots.items():
        start = midnight(FIRST + timedelta(days=day))
        for hour in range(0, 24, hours):
            begin = start + timedelta(hours=hour)
            rows.append(
                {
                    "user_id": user,
                    "model": model,
                    "export_date": start.date(),
                    "offset_minutes": 0,
                    "start_time": begin,
                    "end_time": begin + timedelta(hours=hours),
                    "file_received_at": received,
                    "amount": amount,
                }
            )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


slots = st.dictionaries(
    st.tuples(st.sampled_from("ab"), st.sampled_from(MODELS), st.integers(0, 3)), st.integers(1, 99), max_size=6
)
files = st.lists(st.tuples(slots, st.sampled_from([6, 24])), min_size=1, max_size=5)


@settings(max_examples=30)
@given(files=files, order=st.randoms())
def test_the_newest_file_counts_in_whatever_order_they_are_loaded(files: list[Any], order: Any) -> None:
    arrived = list(enumerate(files))
    order.shuffle(arrived)
    table = SCHEMA.empty_table()
    for number, (told, hours) in arrived:
        received = datetime(2026, 11, 20, number, tzinfo=UTC)
        table = merge(table, rows_of(told, received, hours), received)

    newest: dict[Slot, tuple[int, int]] = {}
    for told, hours in files:
        newest |= {slot: (amount, 24 // hours) for slot, amount in told.items()}
    found: dict[Slot, list[int]] = {}
    for row in table.to_pylist():
        slot = (row["user_id"], row["model"], (row["export_date"] - FIRST).days)
        found.setdefault(slot, []).append(row["amount"])
    assert found == {slot: [amount] * periods for slot, (amount, periods) in newest.items()}


@settings(max_examples=20)
@given(told=slots, hours=st.sampled_from([6, 24]))
def test_a_file_that_is_loaded_twice_is_loaded_once(told: dict[Slot, int], hours: int) -> None:
    received = datetime(2026, 11, 20, tzinfo=UTC)
    once = merge(SCHEMA.empty_table(), rows_of(told, received, hours), received)
    assert merge(once, rows_of(told, received, hours), received).equals(once)
