"""The figures that are reconciled, read from the cost tables, the reports and the invoices of an organization."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from convergence.costs.reconciliation import invoices
from convergence.costs.reconciliation.judgement import (
    HALF_A_CENT,
    DayFigures,
    InvoiceFigures,
    Reconciliation,
    Terms,
    reconcile_days,
    reconcile_months,
)
from convergence.costs.reconciliation.uploaded import read_uploaded_days
from convergence.costs.report import CostSource, describe_costs, known_providers
from convergence.costs.reported import read_reported_totals, reported_table
from convergence.errors import InvalidRequest
from convergence.kit.money import QUANTUM, quantize
from convergence.kit.window import Window
from convergence.sql import Statement
from convergence.tenancy import OrgScope
from convergence.warehouse import Warehouse

if TYPE_CHECKING:
    from convergence.catalog import Catalog

GRANULARITIES: Final = ("day", "month")
_LONG_AGO: Final = timedelta(days=70)  # usage may be invoiced this much later
_SOON: Final = timedelta(days=35)  # a billing period that is no calendar month ends this much later
_USUAL_LAG_DAYS: Final = 7
_NOTHING: Final = Decimal(0)
# Usage under a commitment is in no cost report: Anthropic bills its Priority Tier apart.
_COMMITTED_TIERS: Final[Mapping[str, tuple[str, ...]]] = {"anthropic": ("priority",)}


@dataclass(frozen=True, slots=True)
class Ledger:
    """Where an organization's figures are."""

    warehouse: Warehouse
    catalog: Catalog
    org: OrgScope


async def reconcile(
    ledger: Ledger,
    window: Window,
    granularity: str,
    *,
    today: date,
    tolerance: Decimal,
    providers: Collection[str] | None = None,
) -> list[Reconciliation]:
    """Every provider and currency, by day or by the months that the window touches, in order of period.

    Raises:
        InvalidRequest: an unknown granularity or provider.
    """
    tables = frozenset(await ledger.warehouse.tables(ledger.org.dataset))
    bills = await _read_invoices(ledger, tables)
    asked = window if granularity == "day" else Window(window.start - _LONG_AGO, window.end + _SOON)
    days = await _read_all_days(ledger, asked, tables)
    known = dict.fromkeys([*known_providers(tables), *days, *(provider for provider, _ in bills)])
    _check(granularity, providers, known)
    found: list[Reconciliation] = []
    for provider, currency in sorted(set(bills) | {(name, unit) for name in days for unit in days[name]}):
        if providers is not None and provider not in providers:
            continue
        terms = Terms(provider, currency, tolerance, today, today - timedelta(days=_lag_days(ledger.catalog, provider)))
        held = days.get(provider, {}).get(currency, [])
        if granularity == "day":
            found += reconcile_days(held, terms, window)
        else:
            found += reconcile_months(held, bills.get((provider, currency), []), terms, months_of(window))
    return sorted(found, key=lambda one: (one.period, one.provider, one.currency))


def months_of(window: Window) -> list[date]:
    """First days of the months that the window touches."""
    months = [window.start.replace(day=1)]
    while (following := (months[-1] + timedelta(days=31)).replace(day=1)) < window.end:
        months.append(following)
    return months


def _check(granularity: str, providers: Collection[str] | None, known: Collection[str]) -> None:
    faults = [] if granularity in GRANULARITIES else [f"granularity {granularity!r} is neither day nor month"]
    faults += [f"provider {name!r} is not one of {', '.join(known)}" for name in providers or () if name not in known]
    if faults:
        raise InvalidRequest("; ".join(faults), fields={"faults": faults})


def _lag_days(catalog: Catalog, provider: str) -> int:
    """For how many days the provider's pipelines read reported cost again."""
    steps = (step for pipeline in catalog.pipelines() if pipeline.provider == provider for step in pipeline.steps)
    days = [step.config["restatement_days"] for step in steps if isinstance(step.config.get("restatement_days"), int)]
    return max(days, default=_USUAL_LAG_DAYS)


async def _read_all_days(
    ledger: Ledger, window: Window, tables: Collection[str]
) -> dict[str, dict[str, list[DayFigures]]]:
    """By provider and currency: of cost tables, and of uploaded files where there is no cost table."""
    costs = await describe_costs(ledger.warehouse, ledger.org, tables)
    uploaded = await read_uploaded_days(ledger.warehouse, ledger.org, window, tables)
    return {**uploaded, **{cost.provider: await _read_days(ledger, cost, window, tables) for cost in costs}}


async def _read_days(
    ledger: Ledger, cost: CostSource, window: Window, tables: Collection[str]
) -> dict[str, list[DayFigures]]:
    """The figures of each currency."""
    days = {"start_date": window.start, "end_date": window.end}
    rows = (await ledger.warehouse.query(Statement(_Figures(cost).sql(), ledger.org.dataset, days))).to_pylist()
    has_months = "invoice_month" in cost.columns
    reported = None if has_months else await _read_reported(ledger, cost.provider, window, tables)
    roundings = await _read_roundings(ledger, cost.provider, window, tables)
    found: dict[str, list[DayFigures]] = defaultdict(list)
    for row in rows:
        key = (row["usage_date"], row["currency"])
        told = (row["billed"] if row["billed_rows"] else None) if reported is None else reported.pop(key, None)
        found[row["currency"]].append(_day(row, told, roundings.get(key, _NOTHING)))
    for (day, currency), amount in (reported or {}).items():  # reported, and in no cost table
        found[currency].append(DayFigures(day, day.replace(day=1), reported=amount, is_unmetered=bool(amount)))
    return found


def _day(row: Mapping[str, Any], reported: Decimal | None, rounding: Decimal) -> DayFigures:
    reasons = {reason: row[reason] for reason in _REASONS if row[reason]}
    if halved := row["batch_above_half"]:
        reasons["batch"] = reasons.get("batch", _NOTHING) - quantize(halved / 2)
    return DayFigures(
        row["usage_date"],
        row["month"],
        listed=row["listed"],
        is_used=bool(row["used_rows"]),
        reported=reported,
        reasons=reasons,
        unbilled=row["unbilled"],
        is_unmetered=bool(row["unmetered_rows"]),
        rounding=rounding,
    )


_KINDS: Final = ("tax", "adjustments", "rounding", "credits", "fees", "missing_price")  # of a row that has no list cost
_REASONS: Final = (*_KINDS, "commitment", "free_tier", "batch", "discounts", "region")
_METER: Final = (
    *("model", "sku", "token_class", "service_tier", "batch", "endpoint", "size"),
    *("project_id", "workspace_id", "is_chargeable"),
)


class _Figures:
    """The statement that sums a cost table. What a provider's table lacks is read as nothing."""

    def __init__(self, cost: CostSource) -> None:
        self._cost = cost

    def sql(self) -> str:
        dims = ", ".join(name for name in _METER if name in self._cost.columns)
        keys = ", ".join(part for part in ("usage_date, month, currency, kind, is_batch, is_stated", dims) if part)
        return (
            f"WITH priced AS ({self._rows(dims)}),"
            f" meters AS (SELECT {keys}, SUM(net) AS net, SUM(listed) AS listed, SUM(credited) AS credited,"
            " SUM(in_us) AS in_us, COUNTIF(is_used) AS used_rows, COUNT(*) AS n"
            f" FROM priced GROUP BY {keys}),"
            f" judged AS (SELECT *, {_VERDICT} AS verdict FROM meters)"
            " SELECT usage_date, month, currency, SUM(net + credited) AS billed, SUM(listed) AS listed,"
            " SUM(used_rows) AS used_rows, SUM(IF(kind IN ('unbilled', 'commitment'), 0, n)) AS billed_rows,"
            " SUM(IF(kind = 'unmetered', n, 0)) AS unmetered_rows,"
            f" {', '.join(self._sums())} FROM judged GROUP BY usage_date, month, currency"
            " ORDER BY usage_date, month, currency"
        )

    def _rows(self, dims: str) -> str:
        has = self._has
        month = "PARSE_DATE('%Y%m', invoice_month)" if has("invoice_month") else "DATE_TRUNC(usage_date, MONTH)"
        month = f"CAST({month} AS DATE)"  # BigQuery's emulator makes a moment of it
        batch = [name for name in ("batch", "service_tier") if has(name)]
        tests = {"batch": "batch", "service_tier": "service_tier = 'batch'"}
        is_batch = " OR ".join(f"COALESCE({tests[name]}, FALSE)" for name in batch) or "FALSE"
        stated = [f"{name} IS NULL" for name in ("list_unit_price", "price_version") if has(name)]
        credited = "COALESCE(credits_cost, 0)" if has("credits_cost") else self._zero()
        in_us = f"IF(inference_geo = 'us', billed_cost, {self._zero()})" if has("inference_geo") else self._zero()
        return (
            f"SELECT usage_date, {month} AS month, currency, {self._kind()} AS kind, {is_batch} AS is_batch,"
            f" {' OR '.join(stated) or 'TRUE'} AS is_stated, billed_cost - {credited} AS net,"
            f" {self._listed()} AS listed, {credited} AS credited, {self._used()} AS is_used,"
            f" {in_us} AS in_us{', ' if dims else ''}{dims} FROM {self._cost.provider}_cost_daily"
            " WHERE usage_date >= @start_date AND usage_date < @end_date"
        )

    def _kind(self) -> str:
        """What a row is, the first that holds."""
        has, unlisted, source = self._has, f"{self._list()} IS NULL", self._source()
        tiers = _COMMITTED_TIERS.get(self._cost.provider, ()) if has("service_tier") else ()
        named = [name for name in ("model", "token_class") if has(name)]
        is_fee = " AND ".join([unlisted, f"NOT {self._used()}", *(f"{name} IS NULL" for name in named)])
        cases = [(f"cost_type = '{given}'", kind) for given, kind in _COST_TYPES.items() if has("cost_type")]
        cases += [(f"{source} = 'estimated' AND service_tier = '{tier}'", "commitment") for tier in tiers]
        cases += [
            (f"{source} = 'estimated'", "unbilled"),
            (f"{unlisted} AND NOT {self._used()} AND billed_cost < 0", "credits"),
            (is_fee, "fees"),
            (f"{unlisted} AND NOT {self._used()} AND {source} = 'provider'", "unmetered"),
            (unlisted, "missing_price"),
        ]
        return f"CASE {' '.join(f'WHEN {test} THEN {kind!r}' for test, kind in cases)} ELSE 'usage' END"

    def _sums(self) -> list[str]:
        kinds = [
            f"SUM(IF(kind = '{kind}', net - listed, {self._zero()})) AS {kind}" for kind in _KINDS if kind != "credits"
        ]
        kinds.append(f"SUM(credited + IF(kind = 'credits', net - listed, {self._zero()})) AS credits")
        kinds += [f"SUM(IF(kind = '{kind}', {sign}listed, {self._zero()})) AS {kind}" for kind, sign in _UNBILLED]
        kinds += [
            f"SUM(IF(verdict = '{verdict}', net - listed, {self._zero()})) AS {verdict}"
            for verdict in ("free_tier", "batch", "discounts")
        ]
        kinds.append(f"SUM(IF(verdict = 'region', LEAST(net - listed, in_us / {_US_SHARE}), {self._zero()})) AS region")
        return [*kinds, f"SUM(IF(verdict = 'batch_above_half', listed, {self._zero()})) AS batch_above_half"]

    def _used(self) -> str:
        return "(COALESCE(quantity, 0) != 0)" if self._has("quantity") else f"({self._list()} IS NOT NULL)"

    def _list(self) -> str:
        return "list_cost" if self._has("list_cost") else "CAST(NULL AS NUMERIC)"

    def _listed(self) -> str:
        """Tax and rounding are no usage, whatever an export says of their list price."""
        listed = f"COALESCE({self._list()}, 0)"
        if not self._has("cost_type"):
            return listed
        return f"IF(cost_type IN ('tax', 'rounding_error'), {self._zero()}, {listed})"

    def _source(self) -> str:
        return "cost_source" if self._has("cost_source") else "'provider'"

    def _zero(self) -> str:
        return "CAST(0 AS NUMERIC)"

    def _has(self, column: str) -> bool:
        return column in self._cost.columns


_COST_TYPES: Final = {"tax": "tax", "adjustment": "adjustments", "rounding_error": "rounding"}
_UNBILLED: Final = (("unbilled", ""), ("commitment", "-"))
_US_SHARE: Final = "CAST(11 AS NUMERIC)"  # Anthropic charges a tenth more for inference in the US: an eleventh of it
# Of usage that has a list cost. A batch costs half at most; a price that the provider states itself it may discount.
_VERDICT: Final = (
    "CASE WHEN kind != 'usage' OR net = listed THEN NULL WHEN net > listed THEN IF(in_us > 0, 'region', NULL)"
    " WHEN net = 0 THEN 'free_tier'"
    " WHEN is_batch AND net + net >= listed THEN 'batch' WHEN is_batch THEN 'batch_above_half'"
    " WHEN is_stated THEN 'discounts' END"
)


async def _read_reported(
    ledger: Ledger, provider: str, window: Window, tables: Collection[str]
) -> dict[tuple[date, str], Decimal] | None:
    rows = await read_reported_totals(ledger.warehouse, ledger.catalog, ledger.org, provider, window, tables)
    return None if rows is None else {(row["usage_date"], row["currency"]): row["amount"] for row in rows}


async def _read_roundings(
    ledger: Ledger, provider: str, window: Window, tables: Collection[str]
) -> dict[tuple[date, str], Decimal]:
    """The most that rounding can make: half a cent a row where all are whole cents, else the last place kept."""
    table = reported_table(provider)
    if table not in tables:
        return {}
    nothing = await ledger.warehouse.query(Statement(f"SELECT * FROM {table} LIMIT 0", ledger.org.dataset))
    if not {"usage_date", "currency", "amount"} <= set(nothing.column_names):
        return {}
    sql = _ROUNDINGS.format(table=table)
    days = {"start_date": window.start, "end_date": window.end}
    rows = (await ledger.warehouse.query(Statement(sql, ledger.org.dataset, days))).to_pylist()
    return {(row["usage_date"], row["currency"]): row["n"] * (QUANTUM if row["finer"] else HALF_A_CENT) for row in rows}


_ROUNDINGS: Final = """
SELECT usage_date, currency, COUNT(*) AS n, COUNTIF(amount != ROUND(amount, 2)) AS finer
FROM {table}
WHERE usage_date >= @start_date AND usage_date < @end_date AND amount != 0
GROUP BY usage_date, currency
"""
_INVOICES: Final = f"""
SELECT x_Provider AS provider, BillingCurrency AS currency, BillingPeriodStart AS start_time,
  BillingPeriodEnd AS end_time, LOWER(ChargeCategory) AS category, SUM(BilledCost) AS amount, COUNT(*) AS n,
  COUNTIF(InvoiceIssueStatus = '{invoices.OPEN}') AS open_lines,
  COUNTIF(BilledCost != ROUND(BilledCost, 2)) AS finer
FROM {invoices.TABLE}
WHERE InvoiceIssueStatus != '{invoices.VOIDED}' AND x_SupersededBy IS NULL
GROUP BY x_Provider, BillingCurrency, BillingPeriodStart, BillingPeriodEnd, ChargeCategory
ORDER BY x_Provider, BillingCurrency, BillingPeriodStart, BillingPeriodEnd, ChargeCategory
"""


async def _read_invoices(ledger: Ledger, tables: Collection[str]) -> dict[tuple[str, str], list[InvoiceFigures]]:
    """What counts of the invoices, by provider and currency."""
    if invoices.TABLE not in tables:
        return {}
    rows = (await ledger.warehouse.query(Statement(_INVOICES, ledger.org.dataset))).to_pylist()
    periods: dict[tuple[str, str, datetime, datetime], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        periods[row["provider"], row["currency"], row["start_time"], row["end_time"]].append(row)
    found: dict[tuple[str, str], list[InvoiceFigures]] = defaultdict(list)
    for (provider, currency, start, end), held in periods.items():
        found[provider, currency].append(_bill(start, end, held))
    return found


def _bill(start: datetime, end: datetime, rows: Iterable[Mapping[str, Any]]) -> InvoiceFigures:
    """A period lies in the month of its middle: issuers cut months by the time of their own place."""
    held = list(rows)
    middle = start + (end - start) / 2
    return InvoiceFigures(
        middle.date().replace(day=1),
        start.date(),
        end.date(),
        {row["category"]: row["amount"] for row in held},
        lines=sum(row["n"] for row in held),
        is_open=any(row["open_lines"] for row in held),
        is_in_cents=not any(row["finer"] for row in held),
    )
