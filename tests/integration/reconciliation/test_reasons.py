"""Each reason, reached by rows that cause it alone."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from step_bench import TODAY

from convergence.costs.reconciliation.judgement import DIVERGED, EXPLAINED, MATCHED, MISSING
from convergence.errors import InvalidRequest
from convergence.kit.window import Window

from .conftest import DAY, OCTOBER, Books

PRICED = {"list_unit_price": "1", "price_version": "v1", "model": "gpt-5", "token_class": "input", "quantity": "100"}
FAIR = {**PRICED, "list_cost": "100", "billed_cost": "100"}
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "missing_price": ({"model": "new", "token_class": "input", "quantity": "7", "billed_cost": "10"}, "10"),
    "free_tier": ({**PRICED, "model": "gpt-5-mini", "list_cost": "30", "billed_cost": "0"}, "-30"),
    "batch": ({**PRICED, "batch": True, "list_cost": "50", "billed_cost": "25"}, "-25"),
    "credits": ({"cost_source": "provider", "billed_cost": "-40"}, "-40"),
    "fees": ({"cost_source": "provider", "line_item": "regional uplift", "billed_cost": "15"}, "15"),
}


@pytest.mark.parametrize("reason", CASES)
async def test_a_reason_of_the_rows(books: Books, reason: str) -> None:
    row, amount = CASES[reason]
    await books.costs(FAIR, row)
    (found,) = await books.reconcile()
    assert (found.status, found.explained_by) == (EXPLAINED, {reason: Decimal(amount)})


async def test_nothing_to_explain(books: Books) -> None:
    await books.costs(FAIR)
    (found,) = await books.reconcile()
    assert (found.status, found.residual, found.explained_by) == (MATCHED, 0, {})


async def test_a_batch_explains_half_at_most(books: Books) -> None:
    await books.costs({**PRICED, "service_tier": "batch", "list_cost": "100", "billed_cost": "20"})
    (found,) = await books.reconcile()
    assert (found.status, found.explained_by) == (DIVERGED, {"batch": Decimal(-50), "unknown": Decimal(-30)})


async def test_a_metered_line_without_usage_is_no_fee(books: Books) -> None:
    lost = {"cost_source": "provider", "model": "gpt-5", "line_item": "gpt-5, input", "billed_cost": "9"}
    await books.costs(FAIR, lost)
    (found,) = await books.reconcile()
    assert (found.status, found.explained_by) == (DIVERGED, {"unknown": Decimal(9)})


async def test_metered_lines_alone_miss_their_usage(books: Books) -> None:
    await books.costs({"cost_source": "provider", "model": "gpt-5", "billed_cost": "9"})
    (found,) = await books.reconcile()
    assert (found.status, found.missing, found.provider_reported) == (MISSING, ("usage",), 9)


async def test_a_report_in_no_cost_table_misses_its_usage(books: Books) -> None:
    await books.costs(FAIR)
    await books.reported({"amount": "100"}, {"amount": "5", "usage_date": date(2026, 10, 6)})
    assert [(one.period, one.status) for one in await books.reconcile()] == [
        (DAY, MATCHED),
        (date(2026, 10, 6), MISSING),
    ]


async def test_usage_on_no_line_is_unknown_once_reports_are_final(books: Books) -> None:
    await books.costs(FAIR, {**FAIR, "cost_source": "estimated", "billed_cost": "0"})
    (found,) = await books.reconcile()
    assert (found.status, found.explained_by) == (DIVERGED, {"unknown": Decimal(-100)})


@pytest.mark.parametrize(("days_ago", "reason"), [(3, "timing"), (4, "unknown")])
async def test_timing_lasts_as_long_as_the_pipeline_reads_cost_again(books: Books, days_ago: int, reason: str) -> None:
    """The shipped pipeline of OpenAI has restatement_days: 3."""
    day = TODAY - timedelta(days=days_ago)
    late = {**FAIR, "usage_date": day, "cost_source": "estimated", "billed_cost": "0", "list_cost": "30"}
    await books.costs({**FAIR, "usage_date": day}, late)
    (found,) = await books.reconcile(window=Window.day(day))
    assert found.explained_by == {reason: Decimal(-30)}


async def test_the_priority_tier_of_anthropic_is_billed_apart(books: Books) -> None:
    priority = {**FAIR, "service_tier": "priority", "cost_source": "estimated", "billed_cost": "0"}
    await books.costs(FAIR, priority, provider="anthropic")
    (found,) = await books.reconcile()
    assert (found.status, found.explained_by) == (EXPLAINED, {"commitment": Decimal(-100)})


async def test_inference_in_the_us_costs_a_tenth_more(books: Books) -> None:
    await books.costs({**FAIR, "inference_geo": "us", "billed_cost": "110"}, provider="anthropic")
    (found,) = await books.reconcile()
    assert (found.status, found.explained_by) == (EXPLAINED, {"region": Decimal(10)})


async def test_rounding_to_cents_explains_half_a_cent_a_line(books: Books) -> None:
    rows = [{**PRICED, "endpoint": str(place), "list_cost": "0.005", "billed_cost": "0.01"} for place in range(10)]
    await books.costs(*rows)
    (found,) = await books.reconcile()
    assert (found.status, found.explained_by) == (EXPLAINED, {"rounding": Decimal("0.05")})


async def test_finer_amounts_were_not_rounded_to_cents(books: Books) -> None:
    rows = [{**PRICED, "endpoint": str(place), "list_cost": "0.005", "billed_cost": "0.011"} for place in range(10)]
    await books.costs(*rows)
    (found,) = await books.reconcile()
    assert (found.status, found.explained_by) == (DIVERGED, {"unknown": Decimal("0.06")})


async def test_currencies_are_never_mixed(books: Books) -> None:
    await books.costs(FAIR, {**FAIR, "currency": "EUR", "billed_cost": "90", "list_cost": "90"})
    await books.invoices({"BilledCost": "100"}, {"BilledCost": "90", "BillingCurrency": "EUR"})
    found = await books.reconcile("month")
    assert [(one.currency, one.invoiced, one.status) for one in found] == [("EUR", 90, MATCHED), ("USD", 100, MATCHED)]


async def test_tax_of_the_invoice(books: Books) -> None:
    await books.costs(FAIR)
    await books.invoices({"BilledCost": "100"}, {"BilledCost": "19", "ChargeCategory": "Tax"})
    (found,) = await books.reconcile("month")
    assert (found.status, found.invoiced, found.explained_by) == (EXPLAINED, 119, {"tax": Decimal(19)})


async def test_invoices_that_do_not_count_are_not_summed(books: Books) -> None:
    await books.costs(FAIR)
    await books.invoices(
        {"BilledCost": "100"},
        {"BilledCost": "70", "InvoiceId": "INV-0", "x_SupersededBy": "INV-1"},
        {"BilledCost": "50", "InvoiceId": "INV-2", "InvoiceIssueStatus": "Voided"},
    )
    (found,) = await books.reconcile("month")
    assert (found.status, found.invoiced) == (MATCHED, 100)


async def test_usage_that_crosses_the_invoice_month_is_neither_doubled_nor_dropped(books: Books) -> None:
    """Google invoices the last hours of a month with the next one."""
    last = {"usage_date": date(2026, 10, 31), "quantity": "1", "list_cost": "10", "billed_cost": "10"}
    more = {"gross_cost": "10", "credits_cost": "0", "promotion_cost": "0", "reseller_margin_cost": "0"}
    rows = [
        {**last, **_exact(more), "cost_source": "provider", "invoice_month": month} for month in ("202610", "202611")
    ]
    await books.costs(*rows, provider="gcp")
    months = await books.reconcile("month", Window(date(2026, 10, 1), date(2026, 12, 1)))
    (day,) = await books.reconcile()
    assert [(one.period.month, one.provider_reported) for one in months] == [(10, 10), (11, 10)]
    assert day.provider_reported == 20


async def test_credits_of_google_are_credits_and_not_discounts(books: Books) -> None:
    row = {
        "quantity": "1",
        "list_cost": "100",
        "billed_cost": "70",
        "cost_source": "provider",
        "invoice_month": "202610",
    }
    parts = {"gross_cost": "90", "credits_cost": "-20", "promotion_cost": "0", "reseller_margin_cost": "0"}
    await books.costs({**row, **_exact(parts)}, provider="gcp")
    (found,) = await books.reconcile()
    assert (found.status, found.explained_by) == (EXPLAINED, {"credits": Decimal(-20), "discounts": Decimal(-10)})


async def test_included_usage_of_cursor_is_free_and_not_a_discount(books: Books) -> None:
    common = {"cost_source": "provider", "model": "auto", "token_class": "input", "quantity": "5"}
    included = {**common, "is_chargeable": False, "list_cost": "8"}
    charged = {**common, "is_chargeable": True, "list_cost": "10", "billed_cost": "9"}
    await books.costs(included, charged, provider="cursor")
    (found,) = await books.reconcile()
    assert found.explained_by == {"free_tier": Decimal(-8), "discounts": Decimal(-1)}


async def test_a_cloud_known_by_uploaded_files_alone(books: Books) -> None:
    await books.focus(
        {"ListCost": "100", "BilledCost": "80"},
        {"ListCost": "5"},
        {"BilledCost": "-10", "ChargeCategory": "Credit"},
    )
    await books.invoices({"BilledCost": "70", "x_Provider": "aws"})
    (found,) = await books.reconcile("month", providers=["aws"])
    assert (found.usage_x_price, found.provider_reported, found.invoiced, found.status) == (105, 70, 70, EXPLAINED)
    assert found.explained_by == {"credits": Decimal(-10), "free_tier": Decimal(-5), "discounts": Decimal(-20)}


async def test_a_provider_is_asked_for_by_name(books: Books) -> None:
    await books.costs(FAIR)
    assert await books.reconcile(providers=["anthropic"]) == []
    with pytest.raises(InvalidRequest, match="'nobody' is not one of"):
        await books.reconcile(providers=["nobody"])
    with pytest.raises(InvalidRequest, match="granularity"):
        await books.reconcile("week", OCTOBER)


def _exact(texts: dict[str, str]) -> dict[str, Decimal]:
    return {name: Decimal(text) for name, text in texts.items()}
