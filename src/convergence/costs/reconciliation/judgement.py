"""Usage times price, what the provider reports, what it invoiced: compared, and the difference explained. Pure.

A reconciliation has two legs, from usage to the report and from the report to the invoice, so that an error in one
cannot hide behind one in the other. The reasons of a leg sum to its residual exactly; what none explains is `unknown`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from itertools import combinations
from typing import Final

from convergence.kit.window import Window

MATCHED, EXPLAINED, DIVERGED, MISSING = "MATCHED", "EXPLAINED", "DIVERGED", "MISSING"
STATUSES: Final = (MATCHED, EXPLAINED, DIVERGED, MISSING)
DEFAULT_TOLERANCE: Final = Decimal("0.005")
HALF_A_CENT: Final = Decimal("0.005")
INVOICE_DAYS: Final = 10  # after the end of a month in which its invoice is not missed yet
UNKNOWN: Final = "unknown"
_NOTHING: Final = Decimal(0)

Amounts = Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class DayFigures:
    """One day (of one invoice month) in one currency.

    `reasons` are parts of reported less listed that the rows tell. `unbilled` is the list cost of usage that is on no
    line of the report. `is_unmetered`: the report bills usage that is not there. `rounding` is the most that the
    provider's rounding can make.
    """

    day: date
    month: date
    listed: Decimal = _NOTHING
    is_used: bool = False
    reported: Decimal | None = None
    reasons: Amounts = field(default_factory=dict)
    unbilled: Decimal = _NOTHING
    is_unmetered: bool = False
    rounding: Decimal = _NOTHING


@dataclass(frozen=True, slots=True)
class InvoiceFigures:
    """Lines of the same month and billing period, by category in small letters. `end` is the day after the last."""

    month: date
    start: date
    end: date
    amounts: Amounts
    lines: int = 1
    is_open: bool = False
    is_in_cents: bool = True

    @property
    def total(self) -> Decimal:
        return sum(self.amounts.values(), _NOTHING)


@dataclass(frozen=True, slots=True)
class Leg:
    """From one figure to the next. `base` is the larger of the two."""

    residual: Decimal
    explained: Amounts
    base: Decimal

    def status(self, tolerance: Decimal) -> str:
        allowed = _allowed(tolerance, self.base)
        if abs(self.residual) <= allowed:
            return MATCHED
        return EXPLAINED if abs(self.explained.get(UNKNOWN, _NOTHING)) <= allowed else DIVERGED


def _allowed(tolerance: Decimal, base: Decimal) -> Decimal:
    return max(tolerance * base, HALF_A_CENT)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """One period and currency of a provider. A leg is None where one of its figures is not there."""

    provider: str
    period: date
    currency: str
    compared: Window
    usage_x_price: Decimal | None
    provider_reported: Decimal | None
    invoiced: Decimal | None
    usage: Leg | None
    invoice: Leg | None
    missing: tuple[str, ...]
    tolerance: Decimal

    @property
    def residual(self) -> Decimal | None:
        legs = self._legs()
        return sum((leg.residual for leg in legs), _NOTHING) if legs else None

    @property
    def explained_by(self) -> dict[str, Decimal]:
        """The amounts of both legs by reason; those that cancel each other out stay, as 0."""
        total: dict[str, Decimal] = defaultdict(Decimal)
        for leg in self._legs():
            for reason, amount in leg.explained.items():
                total[reason] += amount
        return dict(total)

    @property
    def status(self) -> str:
        """The worst of both legs; what is missing only tells where nothing that is there diverges."""
        found = {leg.status(self.tolerance) for leg in self._legs()}
        if DIVERGED in found:
            return DIVERGED
        if self.missing:
            return MISSING
        return EXPLAINED if EXPLAINED in found else MATCHED

    def _legs(self) -> list[Leg]:
        return [leg for leg in (self.usage, self.invoice) if leg is not None]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a provider's figures are judged by. From `open_since` on, the provider may still change reported cost."""

    provider: str
    currency: str
    tolerance: Decimal
    today: date
    open_since: date


def reconcile_days(days: Iterable[DayFigures], terms: Terms, window: Window) -> Iterator[Reconciliation]:
    """Usage and report of each day in the window; invoices have no days."""
    by_day: dict[date, list[DayFigures]] = defaultdict(list)
    for figures in days:
        if figures.day in window:
            by_day[figures.day].append(figures)
    for day, held in sorted(by_day.items()):
        found = _judge(held, (), terms, day, Window.day(day), wants_invoice=False)
        if found is not None:
            yield found


def reconcile_months(
    days: Sequence[DayFigures], invoices: Sequence[InvoiceFigures], terms: Terms, months: Iterable[date]
) -> Iterator[Reconciliation]:
    """Usage, report and invoices of each month, given by its first day.

    The days of a month are those of its invoice: by the invoice month that the provider tells, or else by the billing
    period of the month's invoices where that is no calendar month, or else by the calendar.
    """
    for month in months:
        bills = [invoice for invoice in invoices if invoice.month == month]
        compared = _find_period(month, bills)
        own = compared.start != month or compared.end != _next_month(month)
        held = [day for day in days if (day.day in compared if own else day.month == month)]
        is_due = compared.end + timedelta(days=INVOICE_DAYS) <= terms.today
        found = _judge(held, bills, terms, month, compared, wants_invoice=is_due)
        if found is not None:
            yield found


def _find_period(month: date, bills: Sequence[InvoiceFigures]) -> Window:
    """The billing period that all of the month's usual invoices share, or the calendar month."""
    calendar = Window(month, _next_month(month))
    periods = {(bill.start, bill.end) for bill in bills if "usage" in bill.amounts}
    if len(periods) != 1:
        return calendar
    ((start, end),) = periods
    is_calendar = abs(start - calendar.start) <= _DAY and abs(end - calendar.end) <= _DAY
    is_usual = _SHORTEST <= end - start <= _LONGEST
    return Window(start, end) if is_usual and not is_calendar else calendar


_DAY, _SHORTEST, _LONGEST = timedelta(days=1), timedelta(days=25), timedelta(days=35)


def _next_month(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)


def _judge(
    days: Sequence[DayFigures],
    bills: Sequence[InvoiceFigures],
    terms: Terms,
    period: date,
    compared: Window,
    *,
    wants_invoice: bool,
) -> Reconciliation | None:
    listed = sum((day.listed for day in days), _NOTHING)
    told = [day.reported for day in days if day.reported is not None]
    reported = sum(told, _NOTHING) if told else None
    invoiced = sum((bill.total for bill in bills), _NOTHING) if bills else None
    is_used = any(day.is_used for day in days)
    if not is_used and not reported and invoiced is None:
        return None
    missing = tuple(_find_missing(days, bills, terms, reported, is_used=is_used, wants_invoice=wants_invoice))
    usage_x_price = None if "usage" in missing else listed
    if reported is None and "provider_reported" not in missing and usage_x_price is not None:
        reported = _NOTHING
    has_usage_leg = reported is not None and usage_x_price is not None
    before = usage_x_price if reported is None else reported
    return Reconciliation(
        terms.provider,
        period,
        terms.currency,
        compared,
        usage_x_price,
        reported,
        invoiced,
        usage=_judge_usage(days, listed, reported or _NOTHING, terms) if has_usage_leg else None,
        invoice=_judge_invoice(days, bills, before, terms) if bills and not (missing and before is None) else None,
        missing=missing,
        tolerance=terms.tolerance,
    )


def _find_missing(
    days: Sequence[DayFigures],
    bills: Sequence[InvoiceFigures],
    terms: Terms,
    reported: Decimal | None,
    *,
    is_used: bool,
    wants_invoice: bool,
) -> Iterator[str]:
    bills_usage = any(bill.amounts.get("usage") for bill in bills)
    if not is_used and (bills_usage or any(day.is_unmetered for day in days)):
        yield "usage"
    late = sum((day.unbilled for day in days if day.day < terms.open_since), _NOTHING)
    if reported is None and (late > HALF_A_CENT or (bills_usage and not is_used)):
        yield "provider_reported"
    if wants_invoice and not bills:
        yield "invoice"


def _judge_usage(days: Iterable[DayFigures], listed: Decimal, reported: Decimal, terms: Terms) -> Leg:
    """What the rows tell, then what is still on its way, then rounding."""
    explained: dict[str, Decimal] = defaultdict(Decimal)
    rounding, rest = _NOTHING, _NOTHING
    for day in days:
        left = (day.reported or _NOTHING) - day.listed - sum(day.reasons.values(), _NOTHING)
        for reason, amount in day.reasons.items():
            explained[reason] += amount
        if day.day >= terms.open_since and left < 0:
            explained["timing"] += left
            left = _NOTHING
        rest += left
        rounding += day.rounding
    explained[_name_rest(rest, rounding)] += rest
    return Leg(reported - listed, _present(explained), max(abs(reported), abs(listed)))


def _judge_invoice(
    days: Sequence[DayFigures], bills: Sequence[InvoiceFigures], before: Decimal | None, terms: Terms
) -> Leg:
    """From what is reported, or from usage times price where nothing is, to what is invoiced."""
    expected = before or _NOTHING
    invoiced = sum((bill.total for bill in bills), _NOTHING)
    base = max(abs(invoiced), abs(expected))
    reasons = _explain_invoice(days, bills, invoiced - expected, _allowed(terms.tolerance, base))
    explained: dict[str, Decimal] = defaultdict(Decimal, reasons)
    rest = invoiced - expected - sum(explained.values(), _NOTHING)
    coming = sum((day.unbilled for day in days if day.day >= terms.open_since), _NOTHING)
    late = rest if any(bill.is_open for bill in bills) else min(max(rest, _NOTHING), coming)
    explained["timing"] += late
    rounding = sum((bill.lines * HALF_A_CENT for bill in bills if bill.is_in_cents), _NOTHING)
    explained[_name_rest(rest - late, rounding)] += rest - late
    return Leg(invoiced - expected, _present(explained), base)


def _explain_invoice(
    days: Iterable[DayFigures], bills: Sequence[InvoiceFigures], residual: Decimal, allowed: Decimal
) -> dict[str, Decimal]:
    """What the invoice has and the report has not, by reason: credits that are in both explain nothing.

    What only the report has explains where it closes the gap, and never a part of it: that would be chance.
    """
    lines = {reason: sum((bill.amounts.get(name, _NOTHING) for bill in bills), _NOTHING) for name, reason in _LINES}
    differing = dict(lines)
    for day in days:
        for reason in ("tax", "credits", "adjustments"):
            differing[reason] -= day.reasons.get(reason, _NOTHING)
    best = _choose_reasons(_present(differing), residual)
    if abs(residual - sum(best.values(), _NOTHING)) <= allowed:
        return best
    return _choose_reasons(_present({reason: differing[reason] for reason in _present(lines)}), residual)


_LINES: Final = (("tax", "tax"), ("credit", "credits"), ("adjustment", "adjustments"), ("purchase", "fees"))


def _choose_reasons(candidates: Amounts, residual: Decimal) -> dict[str, Decimal]:
    """The candidates that together leave least of the residual, as few of them as do it.

    Not all of them need to hold: an invoice may have its credits inside its lines of usage.
    """
    groups = [group for size in range(len(candidates) + 1) for group in combinations(candidates, size)]
    best = min(groups, key=lambda group: abs(residual - sum((candidates[name] for name in group), _NOTHING)))
    return {name: candidates[name] for name in best}


def _name_rest(rest: Decimal, rounding: Decimal) -> str:
    return "rounding" if abs(rest) <= rounding else UNKNOWN


def _present(amounts: Amounts) -> dict[str, Decimal]:
    return {reason: amount for reason, amount in amounts.items() if amount}
