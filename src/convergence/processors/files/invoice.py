"""files.invoice: an uploaded file of invoice lines into invoice_details, each invoice whole."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from convergence.costs.reconciliation.invoices import KEYS, TABLE, Stored, read_invoice_lines, store_invoices
from convergence.costs.records import RecordTable
from convergence.errors import DataQualityError, StepFailed
from convergence.kit.clock import today
from convergence.steps import StepContext, StepResult


class Config(BaseModel):
    """There is nothing to set: the run's parameters name the provider and the uploaded file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def get_engine() -> InvoiceProcessor:
    return InvoiceProcessor()


class InvoiceProcessor:
    """The same file twice changes nothing."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        Config.model_validate(step_config)
        provider, source = _parameter(context, "provider"), _parameter(context, "upload")
        path = await context.uploads.open(context.tenant, source)
        lines = read_invoice_lines(await asyncio.to_thread(_read_text, path), provider, source)
        table = RecordTable.of(context.warehouse, context.catalog, context.tenant, TABLE, KEYS)
        stored = await store_invoices(table, context.state, context.clock, lines, _lineage(context))
        return StepResult(len(lines), _metadata(stored))


def _metadata(stored: Stored) -> dict[str, Any]:
    return {
        "invoices_added": list(stored.added),
        "invoices_replaced": list(stored.replaced),
        "invoices_unchanged": list(stored.unchanged),
    }


def _lineage(context: StepContext) -> dict[str, Any]:
    return {
        "ingestion_date": today(context.clock),
        "ingestion_timestamp": context.clock.now(),
        "pipeline_logging_id": context.run.run_id,
    }


def _parameter(context: StepContext, name: str) -> str:
    value = context.parameters.get(name)
    if not isinstance(value, str) or not value:
        raise StepFailed(f"the run has no parameter {name}", hint="Upload the file: POST /files with kind=invoice.")
    return value


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataQualityError(
            f"the file is not UTF-8 text: byte {error.start}",
            code="invoice_invalid",
            hint="Save it as CSV UTF-8 or JSON.",
        ) from None
