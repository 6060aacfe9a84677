"""A pipeline that loads files into a declared table, in a catalog of its own beside the shipped schemas."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import structlog
from step_bench import CONFIGS

from convergence.catalog import Catalog
from convergence.connectors.uploads import Uploads
from convergence.kit.clock import ManualClock
from convergence.sql import Statement
from convergence.steps import LoadLimits, RunInfo, StepContext, StepResult
from convergence.tenancy import OrgScope, PlatformScope
from convergence.warehouse.duckdb import DuckDBWarehouse

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
_UNUSED: Any = None  # these steps touch none of it
_LINEAGE = {"ingestion_date": "DATE", "ingestion_timestamp": "TIMESTAMP", "pipeline_logging_id": "STRING"}


def write_schema(folder: Path, name: str, columns: Mapping[str, str], required: tuple[str, ...]) -> None:
    fields = [
        {
            "name": one,
            "type": kind,
            "mode": "REQUIRED" if one in (*required, *_LINEAGE) else "NULLABLE",
            "description": one,
        }
        for one, kind in {**columns, **_LINEAGE}.items()
    ]
    document = {
        "description": name,
        "schema": {"fields": fields},
        "timePartitioning": {"type": "DAY", "field": required[0]},
    }
    (folder / "schemas").mkdir(parents=True, exist_ok=True)
    (folder / "schemas" / f"{name}.json").write_text(json.dumps(document))


@dataclass
class Loader:
    """Uploads files and runs one step over each."""

    warehouse: DuckDBWarehouse
    uploads: Uploads
    catalog: Catalog
    org: OrgScope = field(default_factory=lambda: OrgScope("acme"))
    runs: int = 0

    async def load(
        self, ps_type: str, content: bytes, config: Mapping[str, Any] | None = None, **parameters: str
    ) -> StepResult:
        upload = await self.uploads.receive(self.org, _chunks(content), max_bytes=2**30)
        os.utime(upload.path, (NOW.timestamp(),) * 2)
        self.runs += 1
        context = StepContext(
            run=RunInfo(f"run_{self.runs}", "files", "api", "test", self.runs),
            step_id="load",
            platform=PlatformScope(),
            warehouse=self.warehouse,
            http=_UNUSED,
            credentials=_UNUSED,
            security=_UNUSED,
            state=_UNUSED,
            catalog=self.catalog,
            uploads=self.uploads,
            clock=ManualClock(NOW),
            log=structlog.get_logger(),
            folder=self.catalog.root,
            org=self.org,
            parameters={"upload": upload.sha256, "filename": "file.csv", **parameters},
            limits=LoadLimits(),
        )
        result: StepResult = await (
            import_module(f"convergence.processors.{ps_type}").get_engine().execute(config or {}, context)
        )
        return result

    async def rows(self, sql: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.warehouse.query(Statement(sql, self.org.dataset))).to_pylist()
        return found


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    yield content


@pytest.fixture
async def loader(tmp_path: Path) -> AsyncIterator[Loader]:
    """With the shipped configs, or those that the test has written."""
    own = tmp_path / "configs"
    warehouse = DuckDBWarehouse(tmp_path)
    made = Loader(warehouse, Uploads(tmp_path / "uploads"), Catalog(own if own.is_dir() else CONFIGS))
    await warehouse.ensure_dataset(made.org.dataset)
    yield made
    await warehouse.close()
