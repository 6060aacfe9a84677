"""Cost tables with rows of a test's own choice, in a real DuckDB file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from step_bench import CONFIGS, TODAY

from convergence.catalog import Catalog
from convergence.costs.reconciliation.figures import Ledger, reconcile
from convergence.costs.reconciliation.judgement import DEFAULT_TOLERANCE, Reconciliation
from convergence.costs.records import RecordTable
from convergence.kit.window import Window
from convergence.tenancy import OrgScope
from convergence.warehouse import Warehouse
from convergence.warehouse.duckdb import DuckDBWarehouse

OCTOBER = Window(date(2026, 10, 1), date(2026, 11, 1))
DAY = date(2026, 10, 5)
CATALOG = Catalog(CONFIGS)
_LINEAGE = {
    "ingestion_date": TODAY,
    "ingestion_timestamp": datetime(2026, 11, 20, tzinfo=UTC),
    "pipeline_logging_id": "run_1",
}
_COST = {"usage_date": DAY, "currency": "USD", "quantity": "0", "billed_cost": "0", "cost_source": "allocated"}
_REPORTED = {"usage_date": DAY, "currency": "USD", "group_by": "line_item", "is_provisional": False}
_INVOICE = {
    "BillingCurrency": "USD",
    "BillingPeriodStart": datetime(2026, 10, 1, tzinfo=UTC),
    "BillingPeriodEnd": datetime(2026, 11, 1, tzinfo=UTC),
    "ChargeCategory": "Usage",
    "InvoiceId": "INV-1",
    "InvoiceIssueStatus": "Issued",
    "InvoiceIssuerName": "The issuer",
    "ReferenceInvoiceId": "INV-1",
    "x_Provider": "openai",
    "x_SourceFile": "0" * 64,
}
_FOCUS = {
    **dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), "0"),
    **dict.fromkeys(("BillingAccountId", "InvoiceIssuerName", "ServiceName", "ServiceProviderName"), "AWS"),
    "BillingCurrency": "USD",
    "BillingPeriodStart": datetime(2026, 10, 1, tzinfo=UTC),
    "BillingPeriodEnd": datetime(2026, 11, 1, tzinfo=UTC),
    "ChargeCategory": "Usage",
    "ChargePeriodStart": datetime(2026, 10, 5, tzinfo=UTC),
    "ChargePeriodEnd": datetime(2026, 10, 6, tzinfo=UTC),
    "ServiceCategory": "Compute",
    "x_DeliveryScope": "file/aws/AWS",
    "x_Provider": "aws",
    "x_UsageDate": DAY,
}
_MONEY = frozenset(
    (
        "ContractedCost",
        "EffectiveCost",
        "ListCost",
        "billed_cost",
        "list_cost",
        "list_unit_price",
        "quantity",
        "amount",
        "BilledCost",
        "credits_cost",
    )
)


@dataclass(frozen=True)
class Books:
    """One organization's tables."""

    warehouse: Warehouse
    catalog: Catalog
    org: OrgScope

    async def costs(self, *rows: Mapping[str, Any], provider: str = "openai") -> None:
        """Rows of a cost table, and the report that bills them where the provider has one."""
        full = [{**_COST, **row} for row in rows]
        await self._write(f"{provider}_cost_daily", full)
        if provider in {"openai", "anthropic"}:
            billed = [row for row in full if row["cost_source"] != "estimated"]
            await self.reported(*[{"amount": row["billed_cost"], **_keys(row)} for row in billed], provider=provider)

    async def reported(self, *rows: Mapping[str, Any], provider: str = "openai") -> None:
        await self._write(f"{provider}_reported_cost_daily_raw", [{**_REPORTED, **row} for row in rows])

    async def invoices(self, *lines: Mapping[str, Any]) -> None:
        numbered = enumerate(lines, start=1)
        await self._write(
            "invoice_details", [{**_INVOICE, "InvoiceDetailId": str(place), **line} for place, line in numbered]
        )

    async def focus(self, *rows: Mapping[str, Any]) -> None:
        await self._write("focus_cost_daily", [{**_FOCUS, **row} for row in rows])

    async def reconcile(self, granularity: str = "day", window: Window = OCTOBER, **more: Any) -> list[Reconciliation]:
        ledger = Ledger(self.warehouse, self.catalog, self.org)
        wanted = {"today": TODAY, "tolerance": DEFAULT_TOLERANCE, **more}
        return await reconcile(ledger, window, granularity, **wanted)

    async def _write(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        records = RecordTable.of(self.warehouse, self.catalog, self.org, table, ())
        await records.ensure()
        await records.replace([{**_exact(row), **_LINEAGE} for row in rows])


def _keys(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"usage_date": row["usage_date"], "currency": row["currency"]}


def _exact(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: Decimal(value) if name in _MONEY and value is not None else value for name, value in row.items()}


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    warehouse = DuckDBWarehouse(tmp_path)
    org = OrgScope("acme")
    await warehouse.ensure_dataset(org.dataset)
    yield Books(warehouse, CATALOG, org)
    await warehouse.close()
