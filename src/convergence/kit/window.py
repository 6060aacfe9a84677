"""Half-open ranges of UTC days."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """The UTC days from `start` up to, and without, `end`. Never empty.

    Raises:
        ValueError: `end` is not after `start`.
    """

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise ValueError(f"a window ends after it starts, not {self.start} to {self.end}")

    @classmethod
    def inclusive(cls, first: date, last: date) -> Window:
        """The window of whole days from `first` to `last`, both inside."""
        return cls(first, last + DAY)

    @classmethod
    def day(cls, day: date) -> Window:
        return cls(day, day + DAY)

    @property
    def last(self) -> date:
        return self.end - DAY

    def days(self) -> Iterator[date]:
        day = self.start
        while day < self.end:
            yield day
            day += DAY

    def __len__(self) -> int:
        return (self.end - self.start).days

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.start <= day < self.end

    def chunks(self, days: int) -> Iterator[Window]:
        """Cut into windows of at most `days` days, oldest first."""
        start = self.start
        while start < self.end:
            end = min(start + timedelta(days=days), self.end)
            yield Window(start, end)
            start = end

    def __str__(self) -> str:
        return f"[{self.start}, {self.end})"


def midnight(day: date) -> datetime:
    """The first moment of a UTC day."""
    return datetime.combine(day, time(), UTC)


def join_days(days: Iterable[date]) -> list[Window]:
    """Days in order, as few windows as hold them and no others."""
    windows: list[Window] = []
    for day in days:
        if windows and windows[-1].end == day:
            windows[-1] = Window(windows[-1].start, Window.day(day).end)
        else:
            windows.append(Window.day(day))
    return windows


def spans_meet(one: tuple[date | None, date | None], other: tuple[date | None, date | None]) -> bool:
    """Whether two half-open spans have a day in common; None is open."""
    (start, end), (other_start, other_end) = one, other
    is_before = end is not None and other_start is not None and end <= other_start
    is_after = start is not None and other_end is not None and other_end <= start
    return not (is_before or is_after)
