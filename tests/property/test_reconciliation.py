"""Whatever the figures are, the reasons of a reconciliation sum to its residual, to the last digit."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from convergence.costs.reconciliation.judgement import (
    STATUSES,
    DayFigures,
    InvoiceFigures,
    Terms,
    reconcile_days,
    reconcile_months,
)
from convergence.kit.money import QUANTUM
from convergence.kit.window import Window

OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)
amounts = st.integers(-(10**15), 10**15).map(lambda nanos: nanos * QUANTUM)
some = st.integers(0, 10**15).map(lambda nanos: nanos * QUANTUM)
reasons = st.dictionaries(st.sampled_from(["credits", "fees", "tax", "batch", "missing_price"]), amounts, max_size=3)
days = st.builds(
    DayFigures,
    day=st.integers(0, 30).map(lambda number: OCTOBER + timedelta(days=number)),
    month=st.just(OCTOBER),
    listed=some,
    is_used=st.booleans(),
    reported=st.none() | amounts,
    reasons=reasons,
    unbilled=some,
    is_unmetered=st.booleans(),
    rounding=some,
)
invoices = st.builds(
    InvoiceFigures,
    month=st.just(OCTOBER),
    start=st.just(OCTOBER),
    end=st.just(NOVEMBER),
    amounts=st.dictionaries(st.sampled_from(["usage", "purchase", "tax", "credit", "adjustment"]), amounts),
    lines=st.integers(1, 50),
    is_open=st.booleans(),
    is_in_cents=st.booleans(),
)
terms = st.builds(
    Terms,
    provider=st.just("acme"),
    currency=st.just("USD"),
    tolerance=st.sampled_from([Decimal(0), Decimal("0.005"), Decimal(1)]),
    today=st.just(date(2026, 11, 20)),
    open_since=st.dates(OCTOBER, NOVEMBER),
)


@given(st.lists(days, max_size=6), st.lists(invoices, max_size=3), terms)
@settings(deadline=None)
def test_the_reasons_sum_to_the_residual(figures: list[DayFigures], bills: list[InvoiceFigures], given: Terms) -> None:
    found = [
        *reconcile_days(figures, given, Window(OCTOBER, NOVEMBER)),
        *reconcile_months(figures, bills, given, [OCTOBER]),
    ]
    for one in found:
        assert one.status in STATUSES
        assert sum(one.explained_by.values(), Decimal(0)) == (one.residual or 0)
        for leg in (one.usage, one.invoice):
            assert leg is None or sum(leg.explained.values(), Decimal(0)) == leg.residual
        if one.usage is not None and one.invoice is not None:
            assert one.residual == one.invoiced - one.usage_x_price


@given(st.lists(days, max_size=6), terms)
@settings(deadline=None)
def test_days_sum_to_their_month(figures: list[DayFigures], given: Terms) -> None:
    by_day = list(reconcile_days(figures, given, Window(OCTOBER, NOVEMBER)))
    for month in reconcile_months(figures, [], given, [OCTOBER]):
        told = [one.provider_reported for one in by_day if one.provider_reported is not None]
        assert month.provider_reported is None or month.provider_reported == sum(told, Decimal(0))
