"""What a load leaves behind for whoever operates the platform: a span and two counters, the same for every backend."""

from __future__ import annotations

from collections.abc import Awaitable

from opentelemetry import trace

from convergence.kit.metrics import ROWS_LOADED, ROWS_REJECTED
from convergence.tenancy import TableRef
from convergence.warehouse.protocol import Loaded, WriteMode

_TRACER = trace.get_tracer("convergence")


async def measure_load(table: TableRef, mode: WriteMode, load: Awaitable[Loaded]) -> Loaded:
    """Await the load. One that fails counts no rows; its span carries the error."""
    attributes = {
        "convergence.dataset": table.dataset.name,
        "convergence.table": table.name,
        "convergence.write_mode": str(mode),
    }
    with _TRACER.start_as_current_span("warehouse.load", attributes=attributes) as span:
        loaded = await load
        span.set_attribute("convergence.rows", loaded.rows)
        span.set_attribute("convergence.rows_rejected", loaded.rejected)
        span.set_attribute("convergence.days_replaced", len(loaded.days_replaced))
        span.set_attribute("convergence.days_unchanged", len(loaded.days_unchanged))
    if loaded.days_replaced or not loaded.days_unchanged:
        ROWS_LOADED.labels(table.name).inc(loaded.rows)
        ROWS_REJECTED.labels(table.name).inc(loaded.rejected)
    return loaded
