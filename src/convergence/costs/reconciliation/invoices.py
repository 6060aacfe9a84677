"""Lines of invoices as FOCUS Invoice Detail has them: read from a file, kept by invoice, and which of them count."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from convergence.catalog.schemas import LINEAGE_COLUMNS
from convergence.costs.fields import read_currency, read_fields
from convergence.costs.records import RecordTable
from convergence.errors import DataQualityError, Fault
from convergence.kit.jsontext import canonical
from convergence.kit.money import parse_amount
from convergence.state import StateStore, take_turn

if TYPE_CHECKING:
    from convergence.costs.fields import Reader
    from convergence.kit.clock import Clock

TABLE: Final = "invoice_details"
KEYS: Final = ("x_Provider", "InvoiceId", "InvoiceDetailId")
OPEN, ISSUED, VOIDED = "Open", "Issued", "Voided"
_CATEGORIES: Final = ("Usage", "Purchase", "Tax", "Credit", "Adjustment")
_STATUSES: Final = (OPEN, ISSUED, VOIDED)
_CHARGES: Final = frozenset(("Usage", "Purchase"))
_LONGEST: Final = 2000
_MOST_FAULTS: Final = 50
_NEVER: Final = datetime.min.replace(tzinfo=UTC)

Line = Mapping[str, Any]


def read_invoice_lines(text: str, provider: str, source: str) -> list[dict[str, Any]]:
    """The lines of a CSV or JSON file, complete: what may be left out is filled in.

    JSON is an array of lines, an object that holds one, or one line of text a line. Needed are InvoiceId,
    BillingPeriodStart, BillingPeriodEnd, BilledCost and BillingCurrency; names are compared without case, spaces and
    underscores; columns of no such name are left out. `source` is the digest of the file.

    Raises:
        DataQualityError: invoice_invalid, naming every fault by its line: a part of an invoice has a wrong sum.
    """
    lines: list[dict[str, Any]] = []
    faults: list[Fault] = []
    for number, values in _raw_lines(text):
        line, found = read_fields(_spell(values), _READERS)
        faults += [Fault(fault.message, line=number, key=fault.key, expected=fault.expected) for fault in found]
        faults += [Fault("is missing", line=number, key=name) for name in _missing(line, found)]
        lines.append(line)
    if not lines:
        faults.append(Fault("the file has no lines"))
    if not faults:
        lines = [_complete(line, provider, source) for line in _number(lines)]
        faults += _contradictions(lines)
    if faults:
        raise _invalid(faults)
    return lines


@dataclass(frozen=True, slots=True)
class Stored:
    """Ids of invoices, by what became of them."""

    added: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()


async def store_invoices(
    table: RecordTable, state: StateStore, clock: Clock, lines: Sequence[Line], lineage: Mapping[str, Any]
) -> Stored:
    """Put the invoices of these lines in the place of what is kept of them; others stay. One change at a time.

    What is the same already keeps the rows that it has.
    """
    org = table.org.org_slug
    async with take_turn(state, clock, f"{org}/costs/invoices", f"the invoices of {org}"):
        await table.ensure()
        held = await table.rows()
        before, given = _by_invoice(held), _by_invoice(lines)
        stored = _compare(before, given)
        if stored.added or stored.replaced:
            changed = {key: given[key] for key in given if key[1] not in stored.unchanged}
            fresh = [{**line, **lineage} for invoice in changed.values() for line in invoice]
            await table.replace(supersede([*(row for row in held if _key(row) not in changed), *fresh]))
        return stored


def supersede(lines: Iterable[Line]) -> list[dict[str, Any]]:
    """The lines with x_SupersededBy: the invoice that was issued in the place of theirs, whatever order they came in.

    An invoice that refers to another stands in its place, unless it is a credit note: that stands beside it. Of several
    that were issued for one, the latest counts.
    """
    invoices = _by_invoice(lines)
    heirs = _find_heirs({key: _head(held) for key, held in invoices.items()})
    return [{**line, "x_SupersededBy": heirs.get(key)} for key, held in invoices.items() for line in held]


InvoiceKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Head:
    """An invoice as a whole."""

    refers_to: InvoiceKey | None
    order: tuple[datetime, datetime, str]


def _head(lines: Sequence[Line]) -> _Head:
    first = lines[0]
    refers = first["ReferenceInvoiceId"] != first["InvoiceId"] and not _is_credit_note(lines)
    return _Head(
        (first["x_Provider"], first["ReferenceInvoiceId"]) if refers else None,
        (
            max(line["InvoiceIssueDate"] or _NEVER for line in lines),
            max(line["InvoiceDetailLastUpdated"] or _NEVER for line in lines),
            first["InvoiceId"],
        ),
    )


def _is_credit_note(lines: Sequence[Line]) -> bool:
    """It gives back and charges nothing. A voided invoice is none."""
    live = [line for line in lines if line["InvoiceIssueStatus"] != VOIDED]
    charged = sum((line["BilledCost"] for line in live if line["ChargeCategory"] in _CHARGES), Decimal(0))
    return bool(live) and charged <= 0


def _find_heirs(heads: Mapping[InvoiceKey, _Head]) -> dict[InvoiceKey, str]:
    families: dict[InvoiceKey, set[InvoiceKey]] = defaultdict(set)
    for key, head in heads.items():
        if head.refers_to is not None:
            families[_root(key, heads)] |= {key, head.refers_to}
    heirs: dict[InvoiceKey, str] = {}
    for family in families.values():
        last = max(_leaves(family, heads), key=lambda key: heads[key].order)
        heirs |= {key: last[1] for key in family if key != last}
    return heirs


def _root(key: InvoiceKey, heads: Mapping[InvoiceKey, _Head]) -> InvoiceKey:
    """The first of a chain of references; of a circle, the least."""
    chain = [key]
    while (head := heads.get(chain[-1])) is not None and head.refers_to is not None:
        if head.refers_to in chain:
            return min(chain[chain.index(head.refers_to) :])
        chain.append(head.refers_to)
    return chain[-1]


def _leaves(family: set[InvoiceKey], heads: Mapping[InvoiceKey, _Head]) -> set[InvoiceKey]:
    """Those that are there and that none of the family refers to; in a circle, all of them."""
    there = {key for key in family if key in heads}
    return there - {heads[key].refers_to for key in there} or there


def _compare(before: Mapping[InvoiceKey, Sequence[Line]], given: Mapping[InvoiceKey, Sequence[Line]]) -> Stored:
    ids: dict[str, list[str]] = {"added": [], "replaced": [], "unchanged": []}
    for key, lines in given.items():
        is_same = key in before and _content(before[key]) == _content(lines)
        ids["unchanged" if is_same else "replaced" if key in before else "added"].append(key[1])
    return Stored(**{name: tuple(found) for name, found in ids.items()})


def _content(lines: Sequence[Line]) -> list[str]:
    """What the issuer says: neither where it came from nor what became of it."""
    left_out = {*LINEAGE_COLUMNS, "x_SourceFile", "x_SupersededBy"}
    return sorted(canonical({name: line[name] for name in line if name not in left_out}) for line in lines)


def _by_invoice(lines: Iterable[Line]) -> dict[InvoiceKey, list[Line]]:
    found: dict[InvoiceKey, list[Line]] = defaultdict(list)
    for line in lines:
        found[_key(line)].append(line)
    return found


def _key(line: Line) -> InvoiceKey:
    return line["x_Provider"], line["InvoiceId"]


def _raw_lines(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Each line with its number: that of the text for CSV, its place for JSON."""
    text = text.removeprefix("\ufeff")
    if text.lstrip()[:1] in {"[", "{"}:
        yield from enumerate(_json_lines(text), start=1)
        return
    reader = csv.DictReader(io.StringIO(text), restkey="", strict=True)
    try:
        for values in reader:
            yield reader.line_num, values
    except csv.Error as error:
        raise _invalid([Fault(f"is not CSV: {error}", line=reader.line_num)]) from None


def _json_lines(text: str) -> list[Mapping[str, Any]]:
    try:
        found = json.loads(text, parse_float=Decimal)
    except ValueError:
        found = [_json_line(line, number) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if isinstance(found, dict):
        found = next((value for value in found.values() if isinstance(value, list)), [found])
    if not all(isinstance(line, dict) for line in found):
        raise _invalid([Fault("is not an array of objects")])
    return list(found)


def _json_line(line: str, number: int) -> Any:
    try:
        return json.loads(line, parse_float=Decimal)
    except ValueError as error:
        raise _invalid([Fault(f"is not JSON: {error}", line=number)]) from None


def _spell(values: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that are known, by their FOCUS names. Cells beyond the header are a fault of their own."""
    spelled = {_NAMES[_squeeze(name)]: value for name, value in values.items() if _squeeze(name) in _NAMES}
    return spelled | ({"": values[""]} if values.get("") else {})


def _squeeze(name: str) -> str:
    return name.replace("_", "").replace(" ", "").casefold()


def _missing(line: Line, faults: Iterable[Fault]) -> list[str]:
    wrong = {fault.key for fault in faults}
    return [name for name in _NEEDED if name not in line and name not in wrong]


def _number(lines: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each line with an id: its place in its invoice, where the file has none."""
    counts: dict[str, int] = defaultdict(int)
    for line in lines:
        counts[line["InvoiceId"]] += 1
        yield {"InvoiceDetailId": str(counts[line["InvoiceId"]]), **line}


def _complete(line: Mapping[str, Any], provider: str, source: str) -> dict[str, Any]:
    return {
        **dict.fromkeys(_READERS),
        "ChargeCategory": "Usage",
        "InvoiceIssueStatus": ISSUED,
        "InvoiceIssuerName": provider,
        "ReferenceInvoiceId": line["InvoiceId"],
        **line,
        "x_Provider": provider,
        "x_SourceFile": source,
        "x_SupersededBy": None,
    }


def _contradictions(lines: Sequence[Line]) -> Iterator[Fault]:
    seen = set()
    for line in lines:
        name = f"invoice {line['InvoiceId']}, line {line['InvoiceDetailId']}"
        if (line["InvoiceId"], line["InvoiceDetailId"]) in seen:
            yield Fault(f"{name} comes twice", key="InvoiceDetailId", expected="one line of each id")
        seen.add((line["InvoiceId"], line["InvoiceDetailId"]))
        if line["BillingPeriodEnd"] <= line["BillingPeriodStart"]:
            yield Fault(f"{name} ends before it starts", key="BillingPeriodEnd", expected="after BillingPeriodStart")
    for (_, invoice_id), held in _by_invoice(lines).items():
        if len({line["ReferenceInvoiceId"] for line in held}) > 1:
            yield Fault(
                f"invoice {invoice_id} refers to several", key="ReferenceInvoiceId", expected="one for all lines"
            )


def _invalid(faults: Sequence[Fault]) -> DataQualityError:
    shown = [str(fault) if fault.line is None else f"line {fault.line}: {_plain(fault)}" for fault in faults]
    more = f" and {len(shown) - _MOST_FAULTS} more" if len(shown) > _MOST_FAULTS else ""
    return DataQualityError(
        f"the invoice was not taken: {'; '.join(shown[:_MOST_FAULTS])}{more}",
        code="invoice_invalid",
        hint="Nothing was written. docs/howto/reconcile-an-invoice.md shows the columns.",
        fields={"faults": shown[:_MOST_FAULTS]},
    )


def _plain(fault: Fault) -> str:
    return str(Fault(fault.message, key=fault.key, expected=fault.expected))


def _read_amount(value: Any) -> Decimal:
    """an amount such as 1234.50, without a currency sign or thousands separators"""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise TypeError(f"{value!r} is no amount")
    return parse_amount(value.strip() if isinstance(value, str) else value)


def _read_moment(value: Any) -> datetime:
    """a day or moment such as 2026-01-31 or 2026-01-31T00:00:00Z"""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no moment")
    moment = datetime.fromisoformat(value.strip())
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _read_text(value: Any) -> str:
    """text of at most 2000 characters"""
    text = str(value) if isinstance(value, int) else value
    if not isinstance(text, str) or len(text) > _LONGEST or not text.strip():
        raise ValueError(f"{str(value)[:50]!r} is not text of 1 to {_LONGEST} characters")
    return text.strip()


def _read_json(value: Any) -> str:
    """JSON"""
    return canonical(json.loads(value) if isinstance(value, str) else value)


def _read_category(value: Any) -> str:
    """Usage, Purchase, Tax, Credit or Adjustment"""
    return _choose(value, _CATEGORIES)


def _read_status(value: Any) -> str:
    """Open, Issued or Voided"""
    return _choose(value, _STATUSES)


def _choose(value: Any, choices: Sequence[str]) -> str:
    for choice in choices:
        if isinstance(value, str) and value.strip().casefold() == choice.casefold():
            return choice
    raise ValueError(f"{str(value)[:50]!r} is none of them")


_READERS: Final[Mapping[str, Reader]] = {
    "BilledCost": _read_amount,
    "BillingAccountId": _read_text,
    "BillingCurrency": read_currency,
    "BillingPeriodEnd": _read_moment,
    "BillingPeriodStart": _read_moment,
    "ChargeCategory": _read_category,
    "InvoiceDetailCreated": _read_moment,
    "InvoiceDetailDescription": _read_text,
    "InvoiceDetailGrain": _read_json,
    "InvoiceDetailId": _read_text,
    "InvoiceDetailLastUpdated": _read_moment,
    "InvoiceId": _read_text,
    "InvoiceIssueDate": _read_moment,
    "InvoiceIssueStatus": _read_status,
    "InvoiceIssuerName": _read_text,
    "PaymentCurrency": read_currency,
    "PaymentCurrencyBilledCost": _read_amount,
    "PaymentCurrencyInvoiceDetailId": _read_text,
    "PaymentDueDate": _read_moment,
    "PaymentTerms": _read_text,
    "PurchaseOrderNumber": _read_text,
    "ReferenceInvoiceId": _read_text,
}
_NAMES: Final = {_squeeze(name): name for name in _READERS}
_NEEDED: Final = ("InvoiceId", "BillingPeriodStart", "BillingPeriodEnd", "BilledCost", "BillingCurrency")
