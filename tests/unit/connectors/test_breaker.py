"""The breaker and the budget, with time as a number."""

from __future__ import annotations

import pytest

from convergence.connectors.breaker import Breaker, Outage, RetryBudget


class Time:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def tripped(time: Time) -> Breaker:
    breaker = Breaker(time, failures=3, open_seconds=30)
    for _ in range(3):
        breaker.fail()
    return breaker


def test_it_opens_at_the_limit_and_not_before():
    breaker = Breaker(Time(), failures=3, open_seconds=30)
    breaker.fail()
    breaker.fail()
    assert breaker.closed_in() == 0
    breaker.fail()
    assert breaker.closed_in() == 30


def test_a_success_in_between_starts_the_count_again():
    breaker = Breaker(Time(), failures=2, open_seconds=30)
    breaker.fail()
    breaker.succeed()
    breaker.fail()
    assert breaker.closed_in() == 0


def test_only_one_probe_passes():
    time = Time()
    breaker = tripped(time)
    time.now += 31
    assert breaker.closed_in() == 0
    breaker.enter()
    assert breaker.closed_in() == 30


def test_a_failed_probe_opens_it_for_the_whole_time_again():
    time = Time()
    breaker = tripped(time)
    time.now += 31
    breaker.enter()
    breaker.fail()
    assert breaker.closed_in() == 30


def test_a_probe_without_a_verdict_lets_the_next_one_through():
    time = Time()
    breaker = tripped(time)
    time.now += 31
    breaker.enter()
    breaker.leave()
    assert breaker.closed_in() == 0


def test_a_clock_set_back_does_not_keep_it_open():
    time = Time()
    breaker = tripped(time)
    time.now -= 3_600
    assert breaker.closed_in() == 0


def watched(time: Time, answers: str) -> Outage:
    """An outage of four calls in a minute; x is a failure, one each second."""
    outage = Outage(time, calls=4, share=0.5, window_seconds=60, open_seconds=15)
    for answer in answers:
        time.now += 1
        outage.record(failed=answer == "x")
    return outage


@pytest.mark.parametrize(
    ("answers", "wait"), [("", 0), ("xxx", 0), ("xoxo", 15), ("ooxx", 15), ("ooox", 0), ("xoooooo", 0)]
)
def test_an_outage_is_half_of_enough_calls(answers, wait):
    assert watched(Time(), answers).closed_in() == wait


def test_failures_of_long_ago_are_no_outage():
    time = Time()
    outage = watched(time, "xxx")
    time.now += 61
    outage.record(failed=True)
    assert outage.closed_in() == 0


def test_after_an_outage_the_next_calls_decide():
    time = Time()
    outage = watched(time, "xxxx")
    time.now += 15
    outage.record(failed=True)
    assert outage.closed_in() == 0


def test_a_clock_set_back_ends_an_outage():
    time = Time()
    outage = watched(time, "xxxx")
    time.now -= 3_600
    outage.record(failed=False)
    assert outage.closed_in() == 0


def test_a_budget_is_spent_and_earned_back_up_to_its_capacity():
    budget = RetryBudget.full(2.0, 0.5)
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    budget.earn()
    assert budget.spend() is False
    for _ in range(9):
        budget.earn()
    assert budget.tokens == 2.0
