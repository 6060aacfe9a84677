"""The steps of Google Cloud's billing over a real DuckDB file: from uploaded files, or from an export's table."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import structlog

from convergence.catalog import Catalog
from convergence.connectors import HttpPool
from convergence.connectors.uploads import Uploads
from convergence.kit.clock import ManualClock
from convergence.kit.window import Window
from convergence.simulator.gcp import write_ndjson
from convergence.sql import Statement
from convergence.steps import LoadLimits, RunInfo, StepContext, StepResult
from convergence.tenancy import OrgScope, PlatformScope
from convergence.warehouse import Warehouse
from convergence.warehouse.duckdb import DuckDBWarehouse

CONFIGS = Path(__file__).parents[2] / "configs"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
_UNUSED: Any = None  # these steps touch neither


@dataclass(frozen=True)
class Integration:
    """What an organization has set up."""

    credential: str = "{}"
    metadata: Mapping[str, Any] = field(default_factory=dict)

    async def reveal(self, _org: OrgScope, _provider: str, /) -> str:
        return self.credential

    async def given(self, _org: OrgScope, _provider: str, /) -> Mapping[str, Any]:
        return self.metadata


@dataclass
class GcpBench:
    """One organization and its warehouse."""

    warehouse: Warehouse
    http: HttpPool
    uploads: Uploads
    folder: Path
    clock: ManualClock
    integration: Integration = field(default_factory=Integration)
    org: OrgScope = field(default_factory=lambda: OrgScope("acme"))
    runs: int = 0

    async def run(
        self,
        pipeline: str,
        window: Window | None = None,
        *,
        trigger_type: str = "api",
        parameters: Mapping[str, Any] | None = None,
    ) -> dict[str, StepResult]:
        """The steps of a shipped pipeline that are Google Cloud's own, each time with a higher fence."""
        self.runs += 1
        results: dict[str, StepResult] = {}
        for step in Catalog(CONFIGS).find(pipeline).steps:
            if step.ps_type.startswith("gcp."):
                context = self.context(pipeline, step.step_id, window, trigger_type, parameters, results)
                engine = import_module(f"convergence.processors.{step.ps_type}").get_engine()
                results[step.ps_type] = await engine.execute(step.config, context)
        return results

    def context(
        self,
        pipeline: str,
        step_id: str,
        window: Window | None,
        trigger_type: str = "api",
        parameters: Mapping[str, Any] | None = None,
        results: Mapping[str, StepResult] | None = None,
    ) -> StepContext:
        catalog = Catalog(CONFIGS)
        return StepContext(
            run=RunInfo(f"run_{self.runs}", pipeline, trigger_type, "test", self.runs),
            step_id=step_id,
            platform=PlatformScope(),
            warehouse=self.warehouse,
            http=self.http,
            credentials=self.integration,
            security=_UNUSED,
            state=_UNUSED,
            catalog=catalog,
            uploads=self.uploads,
            clock=self.clock,
            log=structlog.get_logger(),
            folder=catalog.find(pipeline).folder,
            org=self.org,
            window=window,
            parameters=parameters or {},
            limits=LoadLimits(shrink_recheck=timedelta()),
            outputs={name: result.metadata for name, result in (results or {}).items()},
        )

    async def load(self, path: Path) -> dict[str, StepResult]:
        """Upload a file and run what an upload runs."""

        async def chunks() -> AsyncIterator[bytes]:
            yield path.read_bytes()

        upload = await self.uploads.receive(self.org, chunks(), max_bytes=2**30)
        return await self.run("gcp-export", parameters={"upload": upload.sha256, "filename": path.name})

    async def load_rows(self, rows: Iterable[Mapping[str, Any]]) -> dict[str, StepResult]:
        """The same of JSON lines."""
        return await self.load(write_ndjson(rows, self.folder / f"rows-{self.runs}.ndjson"))

    async def rows(self, sql: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.warehouse.query(Statement(sql, self.org.dataset))).to_pylist()
        return found

    async def value(self, sql: str) -> Any:
        (row,) = await self.rows(sql)
        (value,) = row.values()
        return value

    async def sums(self, table: str, key: str, column: str) -> dict[str, Decimal]:
        """The sum of each group, by its key as text."""
        rows = await self.rows(f"SELECT {key} AS k, SUM({column}) AS amount FROM {table} GROUP BY 1 ORDER BY 1")
        return {str(row["k"] if row["k"] is not None else "none"): row["amount"] for row in rows}


@asynccontextmanager
async def open_gcp_bench(
    folder: Path, *, now: datetime = NOW, warehouse: Warehouse | None = None, endpoint: str | None = None
) -> AsyncIterator[GcpBench]:
    """A bench with the organization's dataset. `endpoint` is where the customer's BigQuery answers."""
    clock = ManualClock(now)
    http = HttpPool(base_urls={"gcp": endpoint} if endpoint else {}, clock=clock)
    opened = warehouse or DuckDBWarehouse(folder / "data")
    bench = GcpBench(opened, http, Uploads(folder / "uploads"), folder, clock)
    await opened.ensure_dataset(bench.org.dataset)
    yield bench
    await http.close()
    await opened.close()


def billing_row(**changes: Any) -> dict[str, Any]:
    """A row of the standard export: 10 USD of Compute Engine on 17 November, without credits."""
    row: dict[str, Any] = {
        "billing_account_id": "01A2B3-C4D5E6-F7A8B9",
        "service": {"id": "6F81-5844-456A", "description": "Compute Engine"},
        "sku": {"id": "D0AA-3C5D-7B11", "description": "A2 Core"},
        "usage_start_time": "2026-11-17T10:00:00Z",
        "usage_end_time": "2026-11-17T11:00:00Z",
        "project": {"id": "platform", "number": None, "name": "Platform", "labels": []},
        "labels": [],
        "location": {"location": "us-central1", "country": "US", "region": "us-central1", "zone": None},
        "export_time": "2026-11-17T16:00:00Z",
        "cost": 10.0,
        "currency": "USD",
        "currency_conversion_rate": 1.0,
        "usage": {"amount": 3600.0, "unit": "seconds", "amount_in_pricing_units": 1.0, "pricing_unit": "hour"},
        "credits": [],
        "invoice": {"month": "202611"},
        "cost_type": "regular",
        "cost_at_list": 12.5,
    }
    return {**row, **changes}


def credit(amount: float, kind: str = "COMMITTED_USAGE_DISCOUNT") -> dict[str, Any]:
    return {"name": "credit", "amount": amount, "full_name": "credit", "id": "", "type": kind}


def service_account(**changes: Any) -> str:
    """A service account's key with every field that is looked at; its private key opens nothing."""
    key = {
        "type": "service_account",
        "project_id": "customer-project",
        "private_key_id": "0123456789abcdef",
        "private_key": "-----BEGIN PRIVATE KEY-----\nbm90IGEga2V5\n-----END PRIVATE KEY-----\n",
        "client_email": "billing-reader@customer-project.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
        "universe_domain": "googleapis.com",
    }
    return json.dumps({**key, **changes})
