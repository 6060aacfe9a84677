"""Requests counted by the minute, on a clock that moves only when it is waited for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from convergence.connectors.pacing import MinutePace
from convergence.kit.clock import ManualClock

NOW = datetime(2026, 11, 20, 12, 0, 40, tzinfo=UTC)


async def send(pace: MinutePace, clock: ManualClock, count: int, *, each: timedelta = timedelta()) -> list[float]:
    """When each of the requests went out, in seconds."""
    moments = []
    for _ in range(count):
        await pace.wait_turn()
        moments.append((clock.now() - NOW).total_seconds())
        clock.advance(each)
    return moments


async def test_as_many_as_the_minute_allows_go_out_at_once() -> None:
    clock = ManualClock(NOW)
    assert await send(MinutePace(clock, 20), clock, 20) == [0.0] * 20


async def test_the_next_one_waits_until_the_first_is_a_minute_old() -> None:
    clock = ManualClock(NOW)
    assert await send(MinutePace(clock, 2), clock, 5) == [0.0, 0.0, 60.0, 60.0, 120.0]


@pytest.mark.parametrize("seconds", [1, 3, 7, 40])
async def test_no_minute_holds_more_whenever_it_begins(seconds: int) -> None:
    clock = ManualClock(NOW)
    moments = await send(MinutePace(clock, 5), clock, 40, each=timedelta(seconds=seconds))
    assert max(sum(0 <= moment - start < 60 for moment in moments) for start in moments) <= 5


async def test_a_lower_limit_counts_what_was_sent_before() -> None:
    clock = ManualClock(NOW)
    pace = MinutePace(clock, 60)
    await send(pace, clock, 30)
    pace.limit = 20
    assert await send(pace, clock, 1) == [60.0]


async def test_the_next_minute_is_the_clock_s_with_a_second_to_spare() -> None:
    clock = ManualClock(NOW)
    await MinutePace(clock, 20).wait_for_next_minute()
    assert clock.now() == datetime(2026, 11, 20, 12, 1, 1, tzinfo=UTC)
