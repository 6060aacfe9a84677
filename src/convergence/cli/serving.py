"""serve, worker, scheduler, simulate."""

from __future__ import annotations

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


def worker(
    host: Annotated[str | None, typer.Option(help="With cloud_tasks: where to listen. Default: API_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="With cloud_tasks: default API_PORT, 8080.")] = None,
) -> None:
    """Execute runs, without the API: they are pulled from Redis, or delivered over HTTP by Cloud Tasks."""
    from convergence.cli.background import check_apart, run_background
    from convergence.settings import load_settings

    settings = load_settings()
    check_apart(settings)
    if settings.queue_backend != "cloud_tasks":
        run_background(settings, work=True)
        return
    from convergence.api.server import serve as serve_api

    raise typer.Exit(serve_api(settings, schedule=False, host=host, port=port, is_delivery_only=True))


def scheduler() -> None:
    """Start due pipelines, without the API."""
    from convergence.cli.background import check_apart, run_background
    from convergence.settings import load_settings

    settings = load_settings()
    check_apart(settings)
    run_background(settings, work=False)


def simulate(context: typer.Context) -> None:
    """Run the provider simulator: their APIs, seeded data, known totals. `simulate -- --help` lists its options."""
    from convergence.simulator.__main__ import main

    main(context.args)


def register(app: typer.Typer) -> None:
    for command in (serve, worker, scheduler):
        app.command()(command)
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(simulate)
