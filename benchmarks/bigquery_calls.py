"""How many calls BigQuery gets from one organization's first thirty days, phase by phase, on the emulator.

`make bench-bigquery`. Jobs cost quota and seconds each, so their number is what tells how a backfill scales; the
emulator's own times say nothing about BigQuery's.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import tempfile
import time
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import structlog
from rich.console import Console
from rich.table import Table

from convergence.bootstrap import Platform, open_platform
from convergence.kit.window import Window
from convergence.organizations.models import OnboardingRequest
from convergence.pipelines.models import RunStatus
from convergence.pipelines.service import RunRequest
from convergence.queue import Message
from convergence.settings import load_settings
from convergence.simulator import OpenAIWorld, Simulator, SimulatorServer

ROOT = Path(__file__).parents[1]
KEY = "sk-admin-benchmark-0123456789abcdef"
DAYS = Window(date(2026, 10, 2), date(2026, 11, 1))
LOADS = ("load", "script")  # the jobs that write days


class Tally:
    """Counts what goes over the wire, by phase."""

    def __init__(self, platform: Platform) -> None:
        self._jobs: Counter[str] = platform.warehouse.jobs.started  # type: ignore[attr-defined]  # BigQuery's own
        self._requests: Counter[str] = Counter()
        self.phases: list[dict[str, Any]] = []
        session = platform.warehouse._client._http  # type: ignore[attr-defined]  # noqa: SLF001 (the wire itself)
        session.hooks["response"].append(self._count)

    def _count(self, response: Any, *_: Any, **__: Any) -> None:
        path = response.request.path_url.partition("?")[0]
        kind = next((kind for kind in ("jobs", "queries", "tables", "datasets") if f"/{kind}" in path), "other")
        if re.search(r"/tables/[^/]+", path) is None and kind == "tables" and response.request.method == "POST":
            kind = "tables.insert"
        self._requests[kind] += 1

    async def phase(self, name: str, work: Any) -> Any:
        jobs, requests, start = self._jobs.copy(), self._requests.copy(), time.perf_counter()
        result = await work
        seconds = time.perf_counter() - start
        row = {"phase": name, "seconds": round(seconds, 1)}
        row |= {stage: self._jobs[stage] - jobs[stage] for stage in ("load", "script", "query")}
        row |= {"tables.insert": self._requests["tables.insert"] - requests["tables.insert"]}
        row |= {"requests": self._requests.total() - requests.total()}
        self.phases.append(row)
        return result


async def measure(environment: dict[str, str], simulator: SimulatorServer) -> list[dict[str, Any]]:
    async with open_platform(load_settings(environment)) as platform:
        tally = Tally(platform)
        org = platform.scope.org("acme")
        await tally.phase("bootstrap", platform.organizations.bootstrap(force_recreate_dataset=False))
        request = OnboardingRequest("acme", "Acme", "admin@acme.example", "SCALE")
        new = await tally.phase("onboard", platform.organizations.onboard(request))
        setup = platform.pipelines.run_inline(
            "integration-openai-setup", org=org, private_parameters={"credential": KEY}
        )
        await tally.phase("integration setup", setup)
        await tally.phase("30 days", _run(platform))
        await tally.phase("30 days again, unchanged", _run(platform))
        simulator.simulator.revise("restate", [DAYS.start], share=0.5)
        await tally.phase("30 days again, one restated", _run(platform))
        await tally.phase("100 requests with the same key", _authenticate(platform, new.api_key))
    return tally.phases


async def _run(platform: Platform) -> None:
    request = RunRequest(platform.pipelines.find("openai-usage-cost"), DAYS)
    run = await platform.pipelines.run(platform.scope.org("acme"), request)
    await platform.worker.work(Message(run.org_slug, run.run_id))
    ended = await platform.pipelines.get(platform.scope.org("acme"), run.run_id)
    if ended.status is not RunStatus.COMPLETED:
        raise SystemExit(f"the run ended {ended.status}: {ended.error_message}")
    await platform.metadata_log.flush()


async def _authenticate(platform: Platform, key: str) -> None:
    for _ in range(100):
        await platform.organizations.authenticate(key)


def show(phases: list[dict[str, Any]]) -> None:
    table = Table(title="Calls to BigQuery, one organization, openai-usage-cost")
    for name in phases[0]:
        table.add_column(name, justify="left" if name == "phase" else "right")
    for row in phases:
        table.add_row(*map(str, row.values()))
    Console().print(table)


def main() -> None:
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    from bigquery_emulator import emulating

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    simulated = Simulator()
    simulated.add_account(KEY, OpenAIWorld(end_day=DAYS.end, days=30, rows_per_day=40))
    with (
        emulating() as emulator,
        SimulatorServer(simulated) as simulator,
        tempfile.TemporaryDirectory() as folder,
    ):
        environment = {
            "DATA_DIR": folder,
            "WAREHOUSE": "bigquery",
            "GCP_PROJECT_ID": emulator.project(),
            "BIGQUERY_API_ENDPOINT": emulator.endpoint,
            "OPENAI_BASE_URL": simulator.base_urls["openai"],
            "SHRINK_RECHECK_SECONDS": "0",
        }
        phases = asyncio.run(measure(environment, simulator))
    show(phases)
    target = ROOT / ".benchmarks" / "bigquery_calls.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(phases, indent=2) + "\n")


if __name__ == "__main__":
    main()
