"""Parts of a UTC day: how much of it is over, and how much of its figures."""

from __future__ import annotations

from datetime import date, datetime

DAY_SECONDS = 86_400


def elapsed_seconds(day: date, now: datetime) -> int:
    """How much of a UTC day has passed, 0 to 86,400."""
    start = datetime(day.year, day.month, day.day, tzinfo=now.tzinfo)
    return min(DAY_SECONDS, max(0, int((now - start).total_seconds())))


def cut(amount: int, start: int, end: int) -> int:
    """The part of a day's amount between two seconds of it; adjoining parts sum exactly."""
    return amount * end // DAY_SECONDS - amount * start // DAY_SECONDS


def is_there(until: date | None, day: date) -> bool:
    """Whether what ends with `until` is there on a day."""
    return until is None or day < until
