"""Days in a request are inclusive; windows inside are half-open."""

from datetime import date

import pytest

from convergence.errors import InvalidRequest
from convergence.kit.window import Window
from convergence.pipelines.service import parse_window

D1, D2 = date(2026, 11, 1), date(2026, 11, 2)


def test_one_day():
    assert parse_window(D1, None, None) == Window(D1, D2)


def test_both_ends_of_a_range_are_inside():
    assert list(parse_window(None, D1, D2).days()) == [D1, D2]


def test_nothing_is_left_to_the_default():
    assert parse_window(None, None, None) is None


@pytest.mark.parametrize(
    ("day", "start", "end"),
    [(D1, D1, D2), (D1, D1, None), (D1, None, D2), (None, D1, None), (None, None, D2), (None, D2, D1)],
)
def test_what_is_ambiguous_is_refused(day, start, end):
    with pytest.raises(InvalidRequest):
        parse_window(day, start, end)
