from datetime import UTC, datetime, timedelta

from convergence.kit.clock import ManualClock
from convergence.organizations.cache import Recent

TTL = timedelta(seconds=60)


def _clock() -> ManualClock:
    return ManualClock(datetime(2026, 3, 1, tzinfo=UTC))


def test_a_value_is_there_until_its_time_is_up() -> None:
    clock = _clock()
    recent: Recent[str] = Recent(clock)
    recent.put("a", "value", TTL)
    clock.advance(timedelta(seconds=59))
    before = recent.get("a")
    clock.advance(timedelta(seconds=1))
    assert (before, recent.get("a")) == ("value", None)


def test_a_value_read_under_another_mark_is_forgotten() -> None:
    recent: Recent[str] = Recent(_clock())
    recent.put("a", "value", TTL, "mark 1")
    assert recent.get("a", "mark 2") is None
    assert len(recent) == 0


def test_the_oldest_value_makes_room() -> None:
    recent: Recent[int] = Recent(_clock(), capacity=2)
    for number, key in enumerate("abc"):
        recent.put(key, number, TTL)
    assert [recent.get(key) for key in "abc"] == [None, 1, 2]
