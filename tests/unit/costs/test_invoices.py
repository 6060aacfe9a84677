"""Lines of invoices: how they are read, and which of them count."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from convergence.costs.reconciliation.invoices import read_invoice_lines, supersede
from convergence.errors import DataQualityError

HEADER = "InvoiceId,BillingPeriodStart,BillingPeriodEnd,BilledCost,BillingCurrency,ChargeCategory"
ROW = "INV-1,2026-10-01T00:00:00Z,2026-11-01T00:00:00Z,100.50,USD,Usage"


def read(text: str) -> list[dict[str, Any]]:
    return read_invoice_lines(text, "acme", "0" * 64)


def as_json(**changes: Any) -> dict[str, Any]:
    return {**dict(zip(HEADER.split(","), ROW.split(","), strict=True)), **changes}


def test_five_columns_make_an_invoice() -> None:
    (line,) = read(
        "invoice_id,billing period start,BILLINGPERIODEND,billed_cost,BillingCurrency\nA,2026-10-01,2026-11-01,1,usd\n"
    )
    assert line["BilledCost"] == 1
    assert line["BillingPeriodStart"] == datetime(2026, 10, 1, tzinfo=UTC)
    assert (line["ChargeCategory"], line["InvoiceIssueStatus"], line["BillingCurrency"]) == ("Usage", "Issued", "USD")
    assert (line["InvoiceDetailId"], line["ReferenceInvoiceId"], line["x_Provider"]) == ("1", "A", "acme")


@pytest.mark.parametrize(
    "text",
    [
        f"\ufeff{HEADER}\n{ROW}\n",
        json.dumps([as_json()]),
        json.dumps({"items": [as_json()]}),
        json.dumps(as_json()) + "\n" + json.dumps(as_json(InvoiceId="INV-2")) + "\n",
        json.dumps([as_json(BilledCost=100.50)]),
    ],
    ids=["csv with a byte order mark", "array", "object around an array", "JSON lines", "number"],
)
def test_csv_and_json_say_the_same(text: str) -> None:
    assert read(text)[0] == read(f"{HEADER}\n{ROW}\n")[0]


def test_numbers_of_json_keep_their_digits() -> None:
    (line,) = read(json.dumps([as_json()]).replace('"100.50"', "0.123456789"))
    assert line["BilledCost"] == Decimal("0.123456789")


def test_every_fault_is_named_and_nothing_is_taken() -> None:
    text = f"{HEADER}\n{ROW}\nINV-1,2026-10-01,2026-11-01,$5,USD,Fee\n,soon,2026-11-01,1,US,Usage\n"
    with pytest.raises(DataQualityError) as raised:
        read(text)
    assert raised.value.code == "invoice_invalid"
    assert [":".join(fault.split(":")[:2]) for fault in raised.value.fields["faults"]] == [
        "line 3: BilledCost",
        "line 3: ChargeCategory",
        "line 4: BillingCurrency",
        "line 4: BillingPeriodStart",
        "line 4: InvoiceId",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no lines"),
        (HEADER, "no lines"),
        (f"{HEADER}\n{ROW},surplus\n", "unknown field"),
        ('{"InvoiceId": ', "is not JSON"),
        (f"{HEADER}\n{ROW.replace('2026-11-01', '2026-09-01')}\n", "ends before it starts"),
        (f"{HEADER},InvoiceDetailId\n{ROW},7\n{ROW},7\n", "comes twice"),
        (f"{HEADER},ReferenceInvoiceId\n{ROW},A\n{ROW},B\n", "refers to several"),
        (f"{HEADER}\n{ROW.replace('100.50', 'NaN')}\n", "finite"),
        (f"{HEADER}\n{ROW.replace('100.50', '1,000')}\n", "is"),
    ],
)
def test_what_is_no_invoice_is_refused(text: str, reason: str) -> None:
    with pytest.raises(DataQualityError, match=reason):
        read(text)


def invoice(invoice_id: str, refers_to: str | None = None, issued: int = 1, **changes: Any) -> dict[str, Any]:
    (line,) = read(json.dumps([as_json(InvoiceId=invoice_id, ReferenceInvoiceId=refers_to or invoice_id)]))
    return {**line, "InvoiceIssueDate": datetime(2026, 11, issued, tzinfo=UTC), **changes}


def heirs(*lines: dict[str, Any]) -> dict[str, str | None]:
    return {line["InvoiceId"]: line["x_SupersededBy"] for line in supersede(lines)}


CREDIT_NOTE = {"ChargeCategory": "Credit", "BilledCost": Decimal(-20)}
VOID = {"InvoiceIssueStatus": "Voided"}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([invoice("A")], {"A": None}),
        ([invoice("A"), invoice("B", "A")], {"A": "B", "B": None}),
        ([invoice("A"), invoice("B", "A"), invoice("C", "B")], {"A": "C", "B": "C", "C": None}),
        ([invoice("A"), invoice("B", "A", 2), invoice("C", "A", 3)], {"A": "C", "B": "C", "C": None}),
        ([invoice("A"), invoice("N", "A", **CREDIT_NOTE)], {"A": None, "N": None}),
        ([invoice("A"), invoice("V", "A", **VOID)], {"A": "V", "V": None}),
        ([invoice("A", **VOID), invoice("B", "A")], {"A": "B", "B": None}),
        ([invoice("A", "B", 1), invoice("B", "A", 2)], {"A": "B", "B": None}),
        ([invoice("B", "gone")], {"B": None}),
        ([invoice("A"), invoice("B", "A", x_Provider="other")], {"A": None, "B": None}),
    ],
    ids=[
        *("alone", "issued again", "issued again twice", "two for one", "credit note", "voided by another"),
        *("voided and issued again", "circle", "predecessor never seen", "another provider's id"),
    ],
)
def test_what_was_issued_in_the_place_of_another_counts(
    lines: list[dict[str, Any]], expected: dict[str, str | None]
) -> None:
    assert heirs(*lines) == expected
    assert heirs(*reversed(lines)) == expected
