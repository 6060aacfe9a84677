"""demo: costs in a minute, without an account, a key or a server."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from convergence.cli.display import build_bars, build_cost_table, open_console
from convergence.cli.gateway import Gateway, open_embedded
from convergence.cli.options import run_async
from convergence.cli.runs import await_run
from convergence.errors import StepFailed
from convergence.kit.money import format_amount, format_usd
from convergence.kit.window import DAY, Window

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from convergence.simulator import SimulatorProcess
    from convergence.simulator.downloads import Download

ORG: Final = "demo"
SEED: Final = 7
_BILLED_BY_API: Final = ("openai", "anthropic", "cursor")
_PROVIDERS: Final = {
    "openai": "OpenAI",
    "anthropic": "Anthropic",
    "cursor": "Cursor",
    "deepseek": "DeepSeek",
    "google_sheets": "Google Sheets",
}
_PIPELINES: Final = (
    "google_sheets/identity",
    "openai/usage_cost",
    "openai/subscriptions",
    "anthropic/usage_cost",
    "cursor/usage_cost",
    "deepseek/usage_cost",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """The days to load, all before today."""

    first: date
    last: date

    @property
    def days(self) -> dict[str, str]:
        return {"start_date": self.first.isoformat(), "end_date": self.last.isoformat()}

    @property
    def count(self) -> int:
        return len(Window.inclusive(self.first, self.last))

    def simulator_arguments(self, rows_per_day: int) -> list[str]:
        options = {
            "--seed": SEED,
            "--days": self.count,
            "--end-day": self.last + DAY,
            "--rows-per-day": rows_per_day,
        }
        return [str(part) for option in options.items() for part in option]


def demo(
    days: Annotated[int, typer.Option(min=1, max=366, help="Days of history to load.")] = 30,
    rows_per_day: Annotated[int, typer.Option(min=1, help="Usage rows of a usual day.")] = 200,
) -> None:
    """Load 30 simulated days of every provider and show what they cost."""
    last = datetime.now(UTC).date() - DAY
    run_async(_demo(Plan(last - timedelta(days=days - 1), last), rows_per_day))


async def _demo(plan: Plan, rows_per_day: int) -> None:
    from convergence.settings import load_settings
    from convergence.simulator import SimulatorProcess
    from convergence.simulator.downloads import write_downloads
    from convergence.telemetry import configure_logging

    started = time.monotonic()
    console = open_console()
    folder = load_settings().data_dir / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    configure_logging("ERROR", json=False)
    with SimulatorProcess(plan.simulator_arguments(rows_per_day)) as simulator:
        total = sum([await _read_total(simulator, provider) for provider in _BILLED_BY_API], Decimal(0))
        downloads = write_downloads(folder / "downloads", seed=SEED, end_day=plan.last + DAY, days=plan.count)
        total += sum(download.total for download in downloads)
        settings = load_settings({**_inherited(), **_base_urls(simulator), "DATA_DIR": str(folder)})
        async with open_embedded(settings, work=True) as gateway:
            await _load(console, gateway, simulator.keys, downloads, plan)
            matches = await _show(console, gateway, plan, total)
    _show_next(console, folder, time.monotonic() - started)
    if not matches:
        raise typer.Exit(1)


async def _read_total(simulator: SimulatorProcess, provider: str) -> Decimal:
    """What the provider knows that it bills."""
    import httpx2

    async with httpx2.AsyncClient(base_url=simulator.url, timeout=60, trust_env=False) as client:
        answer = await client.get("/_simulator/truth", params={"key": simulator.keys[provider]})
    return Decimal(answer.raise_for_status().json()["cost"]["total"])


def _base_urls(simulator: SimulatorProcess) -> dict[str, str]:
    return {f"{name.upper()}_BASE_URL": url for name, url in simulator.base_urls.items()}


def _inherited() -> dict[str, str]:
    """The environment without what would point the demo at real providers or another warehouse."""
    ours = {"WAREHOUSE", "QUEUE_BACKEND", "LOCK_BACKEND", "KMS_BACKEND", "ENVIRONMENT", "DATA_DIR"}
    return {name: value for name, value in os.environ.items() if name not in ours}


async def _load(
    console: Console, gateway: Gateway, keys: dict[str, str], downloads: list[Download], plan: Plan
) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<40}"),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as progress:
        await _step(progress, "Bootstrap the platform", _bootstrap(gateway))
        await _step(progress, f"Onboard the organization {ORG}", _onboard(gateway))
        for provider, name in _PROVIDERS.items():
            title = f"Set up {name} with a sealed credential"
            await _step(progress, title, _set_up(gateway, provider, keys[provider]))
        for pipeline in _PIPELINES:
            await _run_pipeline(progress, gateway, pipeline, plan)
        for download in downloads:
            await _upload(progress, gateway, download)


async def _step(progress: Progress, title: str, work: Awaitable[str]) -> None:
    task = progress.add_task(title, total=1, note="")
    progress.update(task, completed=1, note=await work)


async def _bootstrap(gateway: Gateway) -> str:
    answer = await gateway.call("POST", "/admin/bootstrap", body={})
    return f"{len(answer['tables_created'])} tables created"


async def _onboard(gateway: Gateway) -> str:
    body = {
        "org_slug": ORG,
        "company_name": "Demo Company",
        "admin_email": "admin@example.com",
        "subscription_plan": "SCALE",
    }
    check = await gateway.call("POST", "/organizations/dryrun", body=body)
    if not check["ready_for_onboarding"]:
        return "was there"
    answer = await gateway.call("POST", "/organizations/onboard", body=body)
    return f"dataset {answer['dataset_id']}"


async def _set_up(gateway: Gateway, provider: str, key: str) -> str:
    body: dict[str, Any] = {"credential": key, "credential_name": "simulator"}
    if provider == "google_sheets":
        from convergence.simulator import GoogleSheetsWorld

        body["metadata"] = {"spreadsheet_id": GoogleSheetsWorld(SEED).spreadsheet_id}
    answer = await gateway.call("POST", f"/integrations/{ORG}/{provider}/setup", org=ORG, body=body)
    return str(answer["validation_status"])


async def _run_pipeline(progress: Progress, gateway: Gateway, pipeline: str, plan: Plan) -> None:
    accepted = await gateway.call("POST", f"/pipelines/run/{ORG}/{pipeline}", org=ORG, body=plan.days)
    await _follow(progress, gateway, f"Run {pipeline}", accepted["pipeline_logging_id"])


async def _upload(progress: Progress, gateway: Gateway, download: Download) -> None:
    path = f"/files/{ORG}/{download.provider}"
    accepted = await gateway.upload(path, download.path, org=ORG, fields={"kind": "export"})
    await _follow(progress, gateway, f"Load {download.path.name}", accepted["pipeline_logging_id"])


async def _follow(progress: Progress, gateway: Gateway, title: str, run_id: str) -> None:
    """Show the steps of a run until it has ended."""
    steps = (await gateway.call("GET", f"/pipelines/runs/{run_id}", org=ORG))["steps"]
    task = progress.add_task(title, total=len(steps), note="")

    def show(record: dict[str, Any]) -> None:
        running = [step["step_id"] for step in record["steps"] if step["status"] == "RUNNING"]
        done = sum(step["status"] == "COMPLETED" for step in record["steps"])
        progress.update(task, completed=done, note=", ".join(running))

    record = await await_run(gateway, ORG, run_id, show)
    if record["status"] != "COMPLETED":
        raise StepFailed(f"{title}: {record['error_message']}", hint=f"convergence runs show {ORG} {run_id}")
    rows = sum(step["rows_processed"] or 0 for step in record["steps"])
    progress.update(task, completed=len(steps), note=f"{rows:,} rows")


async def _show(console: Console, gateway: Gateway, plan: Plan, truth: Decimal) -> bool:
    console.print()
    for key, limit in (("provider", None), ("model", 10), ("team", None)):
        report = await _costs(gateway, plan, group_by=key, granularity="total")
        console.print(f"Cost by {key}, {plan.first} to {plan.last}", style="bold")
        console.print(build_cost_table([key], report, limit=limit))
    daily = await _costs(gateway, plan, group_by="", granularity="day")
    console.print("Cost by day", style="bold")
    by_day = {row["day"]: Decimal(row["billed_cost"]) for row in daily["rows"]}
    days = [day.isoformat() for day in Window.inclusive(plan.first, plan.last).days()]
    for line in build_bars([(day, by_day.get(day, Decimal(0))) for day in days]):
        console.print(line, markup=False)
    return _compare(console, Decimal(daily["total"]["billed_cost"]), truth)


async def _costs(gateway: Gateway, plan: Plan, *, group_by: str, granularity: str) -> dict[str, Any]:
    params = {**plan.days, "group_by": group_by or None, "granularity": granularity}
    report: dict[str, Any] = await gateway.call("GET", f"/costs/{ORG}", org=ORG, params=params)
    return report


def _compare(console: Console, ours: Decimal, theirs: Decimal) -> bool:
    console.print()
    console.print(f"Convergence says  {format_usd(ours):>14}  ({format_amount(ours)})", markup=False)
    console.print(f"The providers say {format_usd(theirs):>14}  ({format_amount(theirs)})", markup=False)
    if ours == theirs:
        console.print("Equal to the last digit.", style="bold green")
    else:
        console.print(f"They differ by {ours - theirs}.", style="bold red")
    return ours == theirs


def _show_next(console: Console, folder: Path, seconds: float) -> None:
    place = os.path.relpath(folder)
    console.print(f"\nDone in {seconds:.0f} s. The data lies in {place}. Ask it more:\n", markup=False)
    for line in (
        f"export DATA_DIR={place} PATH=$PWD/.venv/bin:$PATH",
        f"convergence costs {ORG} --group-by model,team --from {datetime.now(UTC).date() - timedelta(days=7)}",
        f'convergence query {ORG} "SELECT ServiceName, SUM(BilledCost) AS usd FROM focus_cost_daily GROUP BY 1"',
        f"convergence export focus {ORG} -o focus.csv   # FOCUS 1.4, the last 30 days",
        f"convergence runs list {ORG}",
        "convergence serve   # the same over HTTP, on port 8080",
    ):
        console.print(f"  {line}", markup=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    app.command()(demo)
