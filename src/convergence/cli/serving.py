"""serve, worker, scheduler, simulate."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer


def serve(
    worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Execute runs in this process.")] = True,
    scheduler: Annotated[bool, typer.Option("--scheduler/--no-scheduler", help="Start due pipelines.")] = True,
    host: Annotated[str | None, typer.Option(help="Default: API_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Default: API_PORT, 8080.")] = None,
) -> None:
    """Serve the API, with a worker and the scheduler."""
    from convergence.api.server import serve as serve_api
    from convergence.settings import load_settings

    raise typer.Exit(serve_api(load_settings(), work=worker, schedule=scheduler, host=host, port=port))


def worker() -> None:
    """Execute runs, without the API."""
    from convergence.cli.background import run_background

    run_background(work=True)


def scheduler() -> None:
    """Start due pipelines, without the API."""
    from convergence.cli.background import run_background

    run_background(work=False)


def simulate(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 9099,
    seed: Annotated[int, typer.Option(help="The same seed gives the same data.")] = 7,
    days: Annotated[int, typer.Option(help="Days of history, up to and with the last day.")] = 30,
    rows_per_day: Annotated[int, typer.Option(help="Usage rows of a usual day.")] = 200,
    end_day: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day; default yesterday.")] = None,
    truth_file: Annotated[Path | None, typer.Option(help="Write the exact totals here.")] = None,
) -> None:
    """Run the provider simulator: their APIs, seeded data, known totals."""
    from convergence.simulator import run_simulator

    run_simulator(
        host=host,
        port=port,
        seed=seed,
        days=days,
        rows_per_day=rows_per_day,
        end_day=end_day.date() if end_day else None,
        truth_file=truth_file,
    )


def register(app: typer.Typer) -> None:
    for command in (serve, worker, scheduler, simulate):
        app.command()(command)
