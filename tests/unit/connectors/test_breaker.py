"""The breaker and the budget, with time as a number."""

from __future__ import annotations

from convergence.connectors.breaker import Breaker, RetryBudget


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


def test_a_budget_is_spent_and_earned_back_up_to_its_capacity():
    budget = RetryBudget.full(2.0, 0.5)
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    budget.earn()
    assert budget.spend() is False
    for _ in range(9):
        budget.earn()
    assert budget.tokens == 2.0
