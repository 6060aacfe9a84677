"""Ours, with everything on: run record, lease, raw pages kept, page checks, quarantine, gates, ledger, fenced publish.

Bootstrap, onboarding and the sealed credential come before the clock, as they come once in an installation's life. So
does one look at every module that a run loads lazily.
"""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, date, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import duckdb
from task import Outcome, Task, hand_in, read_task, timed

from convergence.bootstrap import Platform, open_platform
from convergence.kit.window import Window
from convergence.organizations import OnboardingRequest
from convergence.pipelines.models import RunStatus
from convergence.pipelines.service import RunRequest
from convergence.settings import load_settings
from convergence.sql import Statement
from convergence.telemetry import configure_logging
from convergence.tenancy import OrgScope

ORG = "bench"
PIPELINE = """\
pipeline_id: bench-usage
description: The completions endpoint alone
timeout_minutes: 30
steps:
  - step_id: extract_usage
    ps_type: openai.usage
    timeout_minutes: 30
    endpoints: [completions]
"""
LAZY = ("pyarrow.json", "pyarrow.dataset", "convergence.warehouse.duckdb", "convergence.processors.openai.usage")


def write_configs(folder: Path) -> Path:
    """The shipped configs and one pipeline more."""
    shutil.copytree(load_settings({}).configs_dir, folder)
    (folder / "openai" / "bench_usage.yml").write_text(PIPELINE)
    return folder


async def set_up(platform: Platform, key: str) -> OrgScope:
    await platform.organizations.bootstrap()
    await platform.organizations.onboard(OnboardingRequest(ORG, "Benchmark", "bench@example.com", "SCALE"))
    org = await platform.organizations.organization(ORG)
    await platform.integrations.setup(org, "openai", key)
    return org


async def run(platform: Platform, org: OrgScope, window: Window) -> None:
    request = RunRequest(platform.pipelines.find("bench-usage"), window, trigger_by="benchmark")
    accepted = await platform.pipelines.run(org, request)
    record = accepted
    while not record.status.is_final:
        await asyncio.sleep(0.01)
        record = await platform.pipelines.get(org, accepted.run_id)
    assert record.status is RunStatus.COMPLETED, record.error_message


async def count(platform: Platform, org: OrgScope) -> tuple[int, int]:
    sql = "SELECT COUNT(*) AS n, SUM(input_tokens) AS tokens FROM openai_usage_daily_raw"
    (row,) = (await platform.warehouse.query(Statement(sql, org.dataset))).to_pylist()
    return int(row["n"]), int(row["tokens"])


async def compete(task: Task, outcome: Outcome) -> None:
    folder = Path(task.folder)
    configs = write_configs(folder / "configs")
    environ = {"DATA_DIR": str(folder / "data"), "CONFIGS_DIR": str(configs), "OPENAI_BASE_URL": task.base_url}
    async with open_platform(load_settings(environ)) as platform:
        org = await set_up(platform, task.key)
        platform.start_work()
        with timed(outcome):
            await run(platform, org, Window(day(task.start_time), day(task.end_time)))
        outcome.rows, outcome.input_tokens = await count(platform, org)


def day(seconds: int) -> date:
    return datetime.fromtimestamp(seconds, UTC).date()


def main() -> None:
    configure_logging("ERROR", json=False)
    for module in LAZY:
        import_module(module)
    task, outcome = read_task(), Outcome(versions={"convergence": version("convergence"), "duckdb": duckdb.__version__})
    asyncio.run(compete(task, outcome))
    hand_in(outcome)


if __name__ == "__main__":
    main()
