"""Seat plans month by month."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from convergence.costs.subscriptions import Plan, build_months, parse_plan
from convergence.errors import InvalidRequest

JANUARY, FEBRUARY = date(2026, 1, 1), date(2026, 2, 1)


def test_a_month_costs_its_seats() -> None:
    (row,) = build_months([Plan("Business", 5, Decimal(30))], [JANUARY])
    assert (row["month"], row["amount"]) == (JANUARY, Decimal(150))


def test_twelve_months_of_a_year_are_the_year_exactly() -> None:
    plan = Plan("Business", 1, Decimal(100), billing_period="year", valid_from=date(2026, 3, 15))
    months = [date(2026, month, 1) for month in range(3, 13)] + [date(2027, 1, 1), date(2027, 2, 1)]
    assert sum(row["amount"] for row in build_months([plan], months)) == Decimal(100)


def test_a_plan_counts_in_the_months_it_touches() -> None:
    plan = Plan("Business", 1, Decimal(30), valid_from=date(2026, 1, 31), valid_to=FEBRUARY)
    assert [row["month"] for row in build_months([plan], [date(2025, 12, 1), JANUARY, FEBRUARY])] == [JANUARY]


def test_a_plan_without_seats_costs_nothing_and_is_not_listed() -> None:
    assert build_months([Plan("Business", 0, Decimal(30))], [JANUARY]) == []


def test_all_faults_at_once() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_plan({"seats": -1, "unit_price": 1.5, "billing_period": "week", "colour": "red"})
    keys = {str(fault).split(":")[0] for fault in caught.value.fields["faults"]}  # type: ignore[attr-defined]
    assert keys == {"seats", "unit_price", "billing_period", "colour", "plan_name"}
