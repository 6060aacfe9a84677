"""What is said of figures, by the figures alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from convergence.costs.reconciliation.judgement import (
    DIVERGED,
    EXPLAINED,
    MATCHED,
    MISSING,
    DayFigures,
    InvoiceFigures,
    Reconciliation,
    Terms,
    reconcile_days,
    reconcile_months,
)
from convergence.kit.window import Window

OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)
TODAY = date(2026, 12, 20)
TERMS = Terms("acme", "USD", Decimal("0.005"), TODAY, TODAY - timedelta(days=7))


def amounts(**texts: str) -> dict[str, Decimal]:
    return {name: Decimal(text) for name, text in texts.items()}


def used(listed: str, reported: str | None, day: date = date(2026, 10, 5), **more: Any) -> DayFigures:
    told = None if reported is None else Decimal(reported)
    return DayFigures(day, day.replace(day=1), Decimal(listed), is_used=True, reported=told, **more)


def billed(month: date = OCTOBER, end: date = NOVEMBER, lines: int = 1, **texts: str) -> InvoiceFigures:
    return InvoiceFigures(month, month, end, amounts(**texts), lines=lines)


def judge_day(*days: DayFigures, terms: Terms = TERMS) -> Reconciliation:
    (found,) = reconcile_days(days, terms, Window.day(days[0].day))
    return found


def judge_month(
    days: list[DayFigures], *invoices: InvoiceFigures, month: date = OCTOBER, terms: Terms = TERMS
) -> Reconciliation:
    (found,) = reconcile_months(days, invoices, terms, [month])
    return found


@pytest.mark.parametrize(
    ("reported", "status"),
    [("100", MATCHED), ("100.50", MATCHED), ("99.50", MATCHED), ("100.51", DIVERGED), ("99.49", DIVERGED)],
)
def test_half_a_percent_may_stay_unexplained(reported: str, status: str) -> None:
    assert judge_day(used("100", reported)).status == status


def test_half_a_cent_is_no_divergence_however_small_the_day() -> None:
    assert judge_day(used("0.010", "0.015")).status == MATCHED


def test_a_provider_that_bills_one_percent_more_diverges_by_that() -> None:
    found = judge_day(used("100", "101"))
    assert (found.status, found.explained_by) == (DIVERGED, amounts(unknown="1"))


def test_the_tolerance_is_the_callers() -> None:
    assert judge_day(used("100", "101"), terms=replace(TERMS, tolerance=Decimal("0.01"))).status == MATCHED


@pytest.mark.parametrize(
    "reason", ["missing_price", "free_tier", "batch", "commitment", "discounts", "region", "credits", "fees"]
)
def test_what_the_rows_tell_explains(reason: str) -> None:
    found = judge_day(used("100", "90", reasons=amounts(**{reason: "-10"})))
    assert (found.status, found.residual, found.explained_by) == (EXPLAINED, -10, amounts(**{reason: "-10"}))


def test_cost_still_to_come_is_timing_within_the_restatement_window() -> None:
    late = date(2026, 12, 14)
    found = judge_day(used("100", "60", late))
    assert (found.status, found.explained_by) == (EXPLAINED, amounts(timing="-40"))


def test_cost_that_never_came_is_not_timing() -> None:
    assert judge_day(used("100", "60")).explained_by == amounts(unknown="-40")


def test_too_much_cost_is_never_timing() -> None:
    assert judge_day(used("100", "140", date(2026, 12, 14))).status == DIVERGED


def test_rounding_explains_what_rounding_can_make_and_not_a_cent_more() -> None:
    figures = used("1", "1.02", rounding=Decimal("0.02"))
    assert (judge_day(figures).status, judge_day(figures).explained_by) == (EXPLAINED, amounts(rounding="0.02"))
    assert judge_day(replace(figures, rounding=Decimal("0.01"))).explained_by == amounts(unknown="0.02")


def test_usage_without_a_report_is_missing() -> None:
    found = judge_day(used("100", None, unbilled=Decimal(100)))
    assert (found.status, found.missing, found.residual) == (MISSING, ("provider_reported",), None)


def test_usage_without_a_report_that_is_still_due_is_timing() -> None:
    found = judge_day(used("100", None, date(2026, 12, 14), unbilled=Decimal(100)))
    assert (found.status, found.explained_by) == (EXPLAINED, amounts(timing="-100"))


def test_a_report_without_usage_is_missing() -> None:
    day = date(2026, 10, 5)
    found = judge_day(DayFigures(day, OCTOBER, reported=Decimal(100), is_unmetered=True))
    assert (found.status, found.missing, found.usage_x_price) == (MISSING, ("usage",), None)


def test_fees_alone_miss_no_usage() -> None:
    day = date(2026, 10, 5)
    found = judge_day(DayFigures(day, OCTOBER, reported=Decimal(20), reasons=amounts(fees="20")))
    assert (found.status, found.missing) == (EXPLAINED, ())


def test_a_month_without_an_invoice_is_missing_once_it_is_due() -> None:
    assert judge_month([used("100", "100")]).missing == ("invoice",)
    soon = replace(TERMS, today=date(2026, 11, 10))
    assert judge_month([used("100", "100")], terms=soon).status == MATCHED


def test_a_divergence_is_told_before_what_is_missing() -> None:
    assert judge_month([used("100", "120")]).status == DIVERGED


def test_three_figures_that_agree_match() -> None:
    found = judge_month([used("60", "60"), used("40", "40", date(2026, 10, 31))], billed(usage="100"))
    assert (found.status, found.residual, found.invoiced) == (MATCHED, 0, 100)


@pytest.mark.parametrize(
    ("lines", "reason", "amount"),
    [
        ({"tax": "19"}, "tax", "19"),
        ({"credit": "-30"}, "credits", "-30"),
        ({"purchase": "40"}, "fees", "40"),
        ({"adjustment": "-7"}, "adjustments", "-7"),
    ],
)
def test_lines_of_the_invoice_explain(lines: dict[str, str], reason: str, amount: str) -> None:
    found = judge_month([used("100", "100")], billed(usage="100", **lines))
    assert (found.status, found.explained_by) == (EXPLAINED, amounts(**{reason: amount}))


def test_tax_and_credits_that_pull_apart_both_explain() -> None:
    found = judge_month([used("100", "100")], billed(usage="100", tax="19", credit="-10"))
    assert found.explained_by == amounts(tax="19", credits="-10")


def test_a_credit_in_the_report_and_on_the_invoice_explains_only_the_report() -> None:
    days = [used("100", "95", reasons=amounts(credits="-5"))]
    found = judge_month(days, billed(usage="100", credit="-5"))
    assert found.invoice is not None
    assert (found.invoice.residual, found.explained_by) == (0, amounts(credits="-5"))


def test_credits_inside_the_lines_of_usage_leave_nothing_to_explain() -> None:
    found = judge_month([used("100", "95", reasons=amounts(credits="-5"))], billed(usage="95"))
    assert (found.status, found.explained_by) == (EXPLAINED, amounts(credits="-5"))


def test_a_credit_that_the_invoice_lacks_explains_the_gap_that_it_makes() -> None:
    found = judge_month([used("100", "95", reasons=amounts(credits="-5"))], billed(usage="100"))
    assert found.invoice is not None
    assert found.invoice.explained == amounts(credits="5")


def test_a_credit_that_the_invoice_lacks_explains_no_part_of_another_gap() -> None:
    found = judge_month([used("100", "95", reasons=amounts(credits="-5"))], billed(usage="145"))
    assert found.invoice is not None
    assert found.invoice.explained == amounts(unknown="50")


def test_lines_in_cents_may_be_rounded() -> None:
    found = judge_month([used("1.234", "1.234")], billed(usage="1.25", lines=4))
    assert found.explained_by == amounts(rounding="0.016")


def test_an_invoice_of_one_percent_more_diverges_by_that() -> None:
    found = judge_month([used("100", "100")], billed(usage="101"))
    assert (found.status, found.explained_by) == (DIVERGED, amounts(unknown="1"))


def test_an_error_in_one_leg_does_not_hide_behind_one_in_the_other() -> None:
    found = judge_month([used("100", "110")], billed(usage="100"))
    assert (found.status, found.residual) == (DIVERGED, 0)


def test_an_open_invoice_still_grows() -> None:
    found = judge_month([used("100", "100")], replace(billed(usage="70"), is_open=True))
    assert (found.status, found.explained_by) == (EXPLAINED, amounts(timing="-30"))


def test_an_invoice_without_usage_behind_it_is_missing() -> None:
    found = judge_month([], billed(usage="100"))
    assert (found.status, found.missing) == (MISSING, ("usage", "provider_reported"))


def test_seats_and_tax_need_no_usage() -> None:
    found = judge_month([], billed(purchase="40", tax="8"))
    assert (found.status, found.explained_by) == (EXPLAINED, amounts(tax="8", fees="40"))


def test_where_nothing_is_reported_the_invoice_is_held_against_usage() -> None:
    found = judge_month([used("100", None, unbilled=Decimal(100))], billed(usage="120"))
    assert (found.status, found.missing) == (DIVERGED, ("provider_reported",))
    assert found.explained_by == amounts(unknown="20")


def test_gcp_usage_of_one_month_invoiced_in_the_next_counts_once_and_there() -> None:
    """koku summarised such rows twice, or dropped them."""
    crossing = replace(used("10", "10", date(2026, 10, 31)), month=NOVEMBER)
    days = [used("90", "90", date(2026, 10, 31)), crossing]
    invoices = (billed(usage="90"), billed(NOVEMBER, date(2026, 12, 1), usage="10"))
    october, november = reconcile_months(days, invoices, TERMS, [OCTOBER, NOVEMBER])
    assert (october.provider_reported, october.status) == (90, MATCHED)
    assert (november.provider_reported, november.status) == (10, MATCHED)


def test_a_billing_period_that_is_no_month_is_compared_with_its_own_days() -> None:
    """Cursor bills from the day of the month on which the subscription began."""
    days = [used("10", "10", date(2026, 10, day)) for day in (14, 15, 31)] + [used("10", "10", date(2026, 11, 14))]
    invoice = InvoiceFigures(OCTOBER, date(2026, 10, 15), date(2026, 11, 15), amounts(usage="30"))
    found = judge_month(days, invoice)
    assert (found.status, found.provider_reported) == (MATCHED, 30)
    assert found.compared == Window(date(2026, 10, 15), date(2026, 11, 15))


def test_months_cut_by_the_issuers_own_clock_are_calendar_months() -> None:
    shifted = InvoiceFigures(OCTOBER, date(2026, 9, 30), date(2026, 10, 31), amounts(usage="20"))
    days = [used("10", "10", date(2026, 9, 30)), used("20", "20", date(2026, 10, 31))]
    assert judge_month(days, shifted).provider_reported == 20


def test_a_period_of_nothing_is_left_out() -> None:
    nothing = DayFigures(date(2026, 10, 5), OCTOBER, reported=Decimal(0))
    assert list(reconcile_days([nothing], TERMS, Window.day(nothing.day))) == []
