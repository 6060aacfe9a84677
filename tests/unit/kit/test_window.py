"""Half-open ranges of UTC days."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence.kit.window import Window

DAYS = st.dates(min_value=date(2000, 1, 1), max_value=date(2100, 1, 1))


def test_a_window_is_never_empty():
    with pytest.raises(ValueError, match="ends after"):
        Window(date(2026, 1, 1), date(2026, 1, 1))


@given(DAYS, st.integers(0, 400), st.integers(1, 50))
def test_chunks_cover_the_window_once_and_in_order(first, length, size):
    window = Window.inclusive(first, date.fromordinal(first.toordinal() + length))
    chunks = list(window.chunks(size))
    assert [day for chunk in chunks for day in chunk.days()] == list(window.days())
    assert all(len(chunk) <= size for chunk in chunks)


def test_the_end_is_outside():
    window = Window.inclusive(date(2024, 2, 28), date(2024, 3, 1))
    assert [day.isoformat() for day in window.days()] == ["2024-02-28", "2024-02-29", "2024-03-01"]
    assert date(2024, 3, 2) not in window
