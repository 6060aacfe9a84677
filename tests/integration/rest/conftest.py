"""The steps of a declared provider over HTTP and a real DuckDB file."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import structlog

from convergence.catalog import Catalog
from convergence.catalog.templates import build_values, fill
from convergence.connectors import HttpPolicy, HttpPool
from convergence.kit.clock import ManualClock
from convergence.kit.window import Window
from convergence.sql import Statement
from convergence.steps import LoadLimits, RunInfo, StepContext, StepResult
from convergence.steps.registry import load_processor
from convergence.tenancy import OrgScope, PlatformScope
from convergence.warehouse.duckdb import DuckDBWarehouse

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
_UNUSED: Any = None
_LINEAGE = '{"name": "ingestion_date", "type": "DATE"}, {"name": "ingestion_timestamp", "type": "TIMESTAMP"}, {"name": "pipeline_logging_id", "type": "STRING"}'  # noqa: E501 (one line of JSON)
SCHEMA = f"""\
{{"schema": {{"fields": [
  {{"name": "usage_date", "type": "DATE", "mode": "REQUIRED"}},
  {{"name": "id", "type": "STRING", "mode": "REQUIRED"}},
  {{"name": "cost", "type": "NUMERIC", "mode": "REQUIRED"}},
  {_LINEAGE}
]}}, "timePartitioning": {{"type": "DAY", "field": "usage_date"}}}}
"""


@dataclass(frozen=True)
class Asked:
    """A request as the API saw it."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    body: Any
    headers: Mapping[str, str]


@dataclass
class Acme:
    """An API that answers what the test says."""

    answer: Callable[[Asked], Any] = lambda _asked: {"data": []}
    asked: list[Asked] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def acme() -> Iterator[Acme]:
    made = Acme()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts, length = urlsplit(self.path), int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            asked = Asked(self.command, parts.path, parse_qs(parts.query), body, dict(self.headers.items()))
            made.asked.append(asked)
            raw = json.dumps(made.answer(asked)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_POST = do_GET  # noqa: N815 (http.server's name)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass(frozen=True)
class Integration:
    """What the organization has set up."""

    credential: str
    metadata: Mapping[str, Any]

    async def reveal(self, _org: OrgScope, _provider: str, /) -> str:
        return self.credential

    async def given(self, _org: OrgScope, _provider: str, /) -> Mapping[str, Any]:
        return self.metadata


@dataclass
class RestBench:
    """A configs folder with one provider, and one organization's warehouse."""

    root: Path
    url: str
    warehouse: DuckDBWarehouse
    clock: ManualClock
    production: bool = False
    credential: str = "acme-key-0123456789"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    org: OrgScope = field(default_factory=lambda: OrgScope("acme"))
    runs: int = 0

    def write(self, pipeline: str, **files: str) -> None:
        """The pipeline acme/cost.yml, the table acme_cost and more files by their path below acme/."""
        texts = {"cost.yml": pipeline.replace("BASE_URL", self.url), "schemas/acme_cost.json": SCHEMA, **files}
        for name, text in texts.items():
            path = self.root / "acme" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    async def run(self, window: Window, step: int = 0, *, fence: int | None = None) -> StepResult:
        """A step of the pipeline as the executor runs it; the same fence again is the same run."""
        self.runs = fence or self.runs + 1
        catalog = Catalog(self.root)
        [pipeline] = catalog.pipelines()
        chosen = pipeline.steps[step]
        policy = HttpPolicy(backoff_base=0.001, backoff_cap=0.01, attempts=2)
        async with HttpPool(base_urls={}, clock=self.clock, policy=policy, production=self.production) as http:
            context = StepContext(
                run=RunInfo(f"run_{self.runs}", pipeline.pipeline_id, "api", "test", self.runs),
                step_id=chosen.step_id,
                platform=PlatformScope(),
                warehouse=self.warehouse,
                http=http,
                credentials=Integration(self.credential, self.metadata),
                security=_UNUSED,
                state=_UNUSED,
                catalog=catalog,
                uploads=_UNUSED,
                clock=self.clock,
                log=structlog.get_logger(),
                folder=pipeline.folder,
                org=self.org,
                window=window,
                parameters=pipeline.parameters,
                limits=LoadLimits(shrink_recheck=timedelta()),
            )
            run = {"org_slug": "acme", "start_date": window.start, "end_date": window.last}
            config = fill(chosen.config, build_values(run, pipeline.parameters))
            return await load_processor(chosen.ps_type).engine.execute(config, context)

    async def rows(self, sql: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.warehouse.query(Statement(sql, self.org.dataset))).to_pylist()
        return found


@pytest.fixture
async def bench(acme: Acme, tmp_path: Path) -> AsyncIterator[RestBench]:
    warehouse = DuckDBWarehouse(tmp_path / "data")
    made = RestBench(tmp_path / "configs", acme.url, warehouse, ManualClock(NOW))
    (tmp_path / "configs").mkdir()
    await warehouse.ensure_dataset(made.org.dataset)
    yield made
    await warehouse.close()
