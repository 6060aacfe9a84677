"""One row of the export as Google writes it, from amounts that are whole nano-units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from convergence.simulator.gcp.skus import Sku

PACIFIC = timedelta(hours=-8)  # of winter, all year round: days of the simulator need no table of time zones


@dataclass(frozen=True, slots=True)
class BillingRow:
    """Amounts in billionths of the account's currency. `credits` are (type, amount), amounts negative."""

    start: datetime
    end: datetime
    exported_at: datetime
    sku: Sku
    project: str | None
    team: str | None
    cost: int
    credits: tuple[tuple[str, int], ...] = ()
    listed: int | None = None
    quantity: int = 0
    cost_type: str = "regular"
    invoice_month: str = ""
    resource: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def net(self) -> int:
        return self.cost + sum(amount for _, amount in self.credits)

    @property
    def partition(self) -> date:
        return self.exported_at.date()

    @property
    def month(self) -> str:
        return self.invoice_month or f"{self.start + PACIFIC:%Y%m}"


def write_row(row: BillingRow, account: str, currency: str, rate: Decimal, *, detailed: bool) -> dict[str, Any]:
    """As JSON values; amounts are floats whose shortest text is the exact amount."""
    found = {
        "billing_account_id": account,
        "service": {"id": row.sku.service_id, "description": row.sku.service},
        "sku": {"id": row.sku.sku_id, "description": row.sku.description},
        "usage_start_time": _time(row.start),
        "usage_end_time": _time(row.end),
        "project": _project(row),
        "labels": [{"key": "team", "value": row.team}] if row.team else [],
        "system_labels": [],
        "location": _location(row),
        "tags": [
            {"key": key, "value": value, "inherited": True, "namespace": "123456789012"}
            for key, value in row.tags.items()
        ],
        "price": _price(row),
        "transaction_type": "GOOGLE",
        "seller_name": "Google",
        "export_time": _time(row.exported_at),
        "cost": _amount(row.cost),
        "currency": currency,
        "currency_conversion_rate": float(rate),
        "usage": _usage(row),
        "credits": [_credit(kind, amount) for kind, amount in row.credits],
        "invoice": {"month": row.month, "publisher_type": "GOOGLE"},
        "cost_type": row.cost_type,
        "adjustment_info": _adjustment(row),
        "cost_at_list": None if row.listed is None else _amount(row.listed),
    }
    return {**found, "resource": {"name": row.resource, "global_name": row.resource}} if detailed else found


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _amount(nano: int) -> float:
    return float(Decimal(nano).scaleb(-9))


def _project(row: BillingRow) -> dict[str, Any] | None:
    if row.project is None:
        return None
    return {
        "id": row.project,
        "number": "123456789012",
        "name": row.project.replace("-", " ").title(),
        "labels": [{"key": "stage", "value": "prod"}],
        "ancestry_numbers": "/123456789012/",
        "ancestors": [{"resource_name": "organizations/123456789012", "display_name": "example.com"}],
    }


def _location(row: BillingRow) -> dict[str, Any] | None:
    if row.project is None:
        return None
    return {"location": "us-central1", "country": "US", "region": "us-central1", "zone": None}


def _price(row: BillingRow) -> dict[str, Any] | None:
    if not row.quantity:
        return None
    return {
        "effective_price": str(Decimal(row.sku.price_nano).scaleb(-9)),
        "tier_start_amount": "0",
        "unit": row.sku.pricing_unit,
        "pricing_unit_quantity": "1",
        "list_price": str(Decimal(row.sku.list_nano).scaleb(-9)),
    }


def _usage(row: BillingRow) -> dict[str, Any] | None:
    if not row.quantity:
        return None
    return {
        "amount": float(row.quantity),
        "unit": row.sku.unit,
        "amount_in_pricing_units": row.quantity / row.sku.units_each,
        "pricing_unit": row.sku.pricing_unit,
    }


def _credit(kind: str, amount: int) -> dict[str, Any]:
    return {"name": kind.lower(), "amount": _amount(amount), "full_name": kind.title(), "id": "", "type": kind}


def _adjustment(row: BillingRow) -> dict[str, Any]:
    if row.cost_type != "adjustment":
        return {"id": None, "description": None, "mode": None, "type": None}
    return {"id": "adj-1", "description": "Correction", "mode": "PARTIAL_CORRECTION", "type": "USAGE_CORRECTION"}
