"""What loads and requests leave in traces, in /metrics and in the log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
import structlog
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY

from convergence.catalog.schemas import Column, TableSchema
from convergence.connectors import HttpPolicy, HttpPool, bearer
from convergence.errors import ProviderRejected, SchemaMismatch
from convergence.kit.clock import SystemClock
from convergence.kit.window import Window
from convergence.simulator import FaultRule, OpenAIWorld, Simulator, SimulatorServer
from convergence.telemetry import configure_tracing
from convergence.tenancy import OrgScope
from convergence.warehouse import Claim, WriteMode
from convergence.warehouse.duckdb import DuckDBWarehouse

DAY = date(2026, 1, 1)
COLUMNS = (Column("day", "DATE"), Column("amount", "NUMERIC"))
MEASURED = TableSchema("measured", COLUMNS, partition_column="day")
REJECTS = TableSchema("measured_rejects", (Column("day", "DATE"), Column("reason", "STRING")), partition_column="day")
TABLE = OrgScope("acme").table("measured")
KEY = "sk-admin-measured-0123456789abcdef"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Every span that ends while the test runs."""
    exporter = InMemorySpanExporter()
    shut_down = configure_tracing(service="convergence", version="0.1.0", environment="development", exporter=exporter)
    yield exporter
    shut_down()


@pytest.fixture
async def warehouse(tmp_path: Path) -> AsyncIterator[DuckDBWarehouse]:
    made = DuckDBWarehouse(tmp_path)
    await made.ensure_dataset(TABLE.dataset)
    await made.ensure(TABLE, MEASURED)
    await made.ensure(TABLE.rejects, REJECTS)
    yield made
    await made.close()


async def rows(count: int) -> AsyncIterator[pa.RecordBatch]:
    amounts = pa.array([Decimal("0.5")] * count, pa.decimal128(38, 9))
    yield pa.record_batch({"day": pa.array([DAY] * count, pa.date32()), "amount": amounts})


async def load(warehouse: DuckDBWarehouse, count: int, fence: int = 1) -> None:
    rejects = pa.table({"day": pa.array([DAY], pa.date32()), "reason": pa.array(["bad"])})
    await warehouse.load(
        TABLE,
        rows(count),
        mode=WriteMode.REPLACE_WINDOW,
        window=Window.day(DAY),
        claim=Claim("measured", "run", fence, f"load-{fence}"),
        rejects=rejects,
    )


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def loaded_and_rejected() -> tuple[float, float]:
    names = ("convergence_rows_loaded_total", "convergence_rows_rejected_total")
    loaded, rejected = (counted(name, table="measured") for name in names)
    return loaded, rejected


async def test_a_load_is_a_span_with_its_table_mode_and_rows(spans, warehouse):
    await load(warehouse, 3)

    (span,) = [span for span in spans.get_finished_spans() if span.name == "warehouse.load"]
    assert span.attributes == {
        "convergence.dataset": "acme_dev",
        "convergence.table": "measured",
        "convergence.write_mode": "replace_window",
        "convergence.rows": 3,
        "convergence.rows_rejected": 1,
        "convergence.days_replaced": 1,
        "convergence.days_unchanged": 0,
    }


async def test_rows_are_counted_where_they_were_written(warehouse):
    before = loaded_and_rejected()

    await load(warehouse, 3)
    await load(warehouse, 3, fence=2)  # the same content: nothing is written

    after = loaded_and_rejected()
    assert (after[0] - before[0], after[1] - before[1]) == (3, 1)


async def test_a_load_that_is_refused_counts_nothing_and_its_span_says_why(spans, warehouse):
    before = loaded_and_rejected()

    with pytest.raises(SchemaMismatch):
        await warehouse.load(TABLE, rows(1), mode=WriteMode.REPLACE_WINDOW)

    (span,) = [span for span in spans.get_finished_spans() if span.name == "warehouse.load"]
    assert loaded_and_rejected() == before
    assert span.status.is_ok is False
    assert [event.attributes["exception.type"].rsplit(".")[-1] for event in span.events] == ["SchemaMismatch"]


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    simulator = Simulator()
    simulator.add_account(KEY, OpenAIWorld(0, end_day=DAY, days=1, rows_per_day=1))
    with SimulatorServer(simulator) as server:
        yield server


def requests_counted() -> dict[str, float]:
    classes = ("2xx", "4xx", "5xx")
    return {
        name: counted("convergence_provider_requests_total", provider="openai", status_class=name) for name in classes
    }


async def ask(server: SimulatorServer, key: str = KEY) -> None:
    swift = HttpPolicy(backoff_base=0.001)
    async with HttpPool(base_urls=server.base_urls, clock=SystemClock(), policy=swift) as pool:
        await pool.client("acme", "openai", bearer(key)).get("/organization/projects")


async def test_requests_are_counted_by_what_came_back(server):
    before = requests_counted()
    timed = counted("convergence_provider_request_seconds_count", provider="openai")
    server.simulator.faults.add(FaultRule(kind="status", status=500, count=2))

    await ask(server)
    with pytest.raises(ProviderRejected):
        await ask(server, "sk-admin-unknown-0123456789")

    after = requests_counted()
    assert {name: after[name] - before[name] for name in after} == {"2xx": 1, "4xx": 1, "5xx": 2}
    assert counted("convergence_provider_request_seconds_count", provider="openai") - timed == 4


async def test_an_attempt_has_one_line_of_ours_and_none_of_the_retrying_library(server):
    server.simulator.faults.add(FaultRule(kind="status", status=503, count=2))

    with structlog.testing.capture_logs() as lines:
        await ask(server)

    assert [(line["event"], line["attempt"], line["status"]) for line in lines] == [
        ("provider_request", 1, 503),
        ("provider_request", 2, 503),
        ("provider_request", 3, 200),
    ]
