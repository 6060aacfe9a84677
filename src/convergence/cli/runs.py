"""run, backfill, gaps, runs list | show | cancel"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final

import typer

from convergence.cli.display import build_table, open_console, print_json
from convergence.cli.gateway import Gateway, open_gateway
from convergence.cli.options import (
    AsJson,
    Day,
    First,
    Last,
    Org,
    Server,
    day_text,
    parse_parameters,
    range_params,
    run_async,
)

app = typer.Typer(help="Runs of an organization.", no_args_is_help=True, rich_markup_mode=None)

_FINAL: Final = {"COMPLETED", "FAILED", "CANCELLED"}
_POLL_SECONDS = 0.2
_REMOTE_POLL_SECONDS = 1.0  # requests to a server are counted

PipelineName = Annotated[str, typer.Argument(help="pipeline_id, or a path such as openai/usage_cost.")]


def run(
    org: Org,
    pipeline: PipelineName,
    date: Day = None,
    first: First = None,
    last: Last = None,
    parameter: Annotated[list[str] | None, typer.Option("--param", help="name=value; may be repeated.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="With --server: wait until it ends.")] = True,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Run a pipeline and wait for its end. Without days: yesterday, UTC."""
    body = _body(date, first, last, parameter)
    record = run_async(_run(server, org, pipeline, body, wait=wait or server is None))
    show_run(record, as_json=as_json)
    raise typer.Exit(1 if record["status"] in {"FAILED", "CANCELLED"} else 0)


async def _run(server: str | None, org: str, pipeline: str, body: dict[str, Any], *, wait: bool) -> dict[str, Any]:
    async with open_gateway(server, work=True) as gateway:
        accepted = await gateway.call("POST", _path("run", org, pipeline), org=org, body=body)
        run_id = accepted["pipeline_logging_id"]
        if not wait:
            found: dict[str, Any] = await gateway.call("GET", f"/pipelines/runs/{run_id}", org=org)
            return found
        return await await_run(gateway, org, run_id)


async def await_run(
    gateway: Gateway, org: str, run_id: str, show: Callable[[dict[str, Any]], None] = lambda _record: None
) -> dict[str, Any]:
    """Poll a run until it has ended, showing each state."""
    import asyncio

    while True:
        record: dict[str, Any] = await gateway.call("GET", f"/pipelines/runs/{run_id}", org=org)
        show(record)
        if record["status"] in _FINAL:
            return record
        await asyncio.sleep(_POLL_SECONDS if gateway.platform else _REMOTE_POLL_SECONDS)


def backfill(
    org: Org,
    pipeline: PipelineName,
    first: First,
    last: Last,
    chunk_days: Annotated[int | None, typer.Option(help="Days of one run; default 7.")] = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Load a range of days, cut into runs that wait for free slots; it counts as one run."""
    body = _body(None, first, last, None)
    if chunk_days is not None:
        body["chunk_days"] = chunk_days
    records = run_async(_backfill(server, org, pipeline, body))
    if as_json:
        print_json(records)
    else:
        open_console().print(_run_table(records))
    raise typer.Exit(1 if any(record["status"] in {"FAILED", "CANCELLED"} for record in records) else 0)


async def _backfill(server: str | None, org: str, pipeline: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    async with open_gateway(server, work=True) as gateway:
        accepted = await gateway.call("POST", _path("backfill", org, pipeline), org=org, body=body)
        return [await await_run(gateway, org, item["pipeline_logging_id"]) for item in accepted["runs"]]


def gaps(org: Org, first: First = None, last: Last = None, server: Server = None, as_json: AsJson = False) -> None:
    """Days that a stream has never loaded. A day without usage is loaded, and is no gap."""
    result = run_async(_gaps(server, org, range_params(first, last)))
    if as_json:
        print_json(result)
        return
    rows = [(item["stream"], len(item["missing"]), ", ".join(item["missing"])) for item in result["items"]]
    open_console().print(build_table(["stream", "missing", "days"], rows))


async def _gaps(server: str | None, org: str, params: dict[str, Any]) -> Any:
    async with open_gateway(server) as gateway:
        return await gateway.call("GET", f"/pipelines/gaps/{org}", org=org, params=params)


@app.command("list")
def list_runs(
    org: Org,
    status: Annotated[str | None, typer.Option(help="PENDING, RUNNING, COMPLETED, FAILED or CANCELLED.")] = None,
    pipeline_id: Annotated[str | None, typer.Option("--pipeline")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    cursor: Annotated[str | None, typer.Option(help="next_cursor of the page before.")] = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Runs, newest first."""
    params = {"status": status, "pipeline_id": pipeline_id, "limit": limit, "cursor": cursor}
    result = run_async(_call(server, "GET", "/pipelines/runs", org, params))
    if as_json:
        print_json(result)
        return
    open_console().print(_run_table(result["items"]))
    if result["next_cursor"]:
        typer.echo(f"more: --cursor {result['next_cursor']}")


@app.command()
def show(org: Org, run_id: Annotated[str, typer.Argument()], server: Server = None, as_json: AsJson = False) -> None:
    """One run with its steps."""
    show_run(run_async(_call(server, "GET", f"/pipelines/runs/{run_id}", org)), as_json=as_json)


@app.command()
def cancel(org: Org, run_id: Annotated[str, typer.Argument()], server: Server = None, as_json: AsJson = False) -> None:
    """Cancel a run that waits or runs."""
    show_run(run_async(_call(server, "POST", f"/pipelines/runs/{run_id}/cancel", org)), as_json=as_json)


async def _call(server: str | None, method: str, path: str, org: str, params: dict[str, Any] | None = None) -> Any:
    async with open_gateway(server) as gateway:
        return await gateway.call(method, path, org=org, params=params)


def _path(verb: str, org: str, pipeline: str) -> str:
    """`a/b` and `a/b/c` are paths below configs/, anything else is a pipeline_id."""
    if "/" in pipeline:
        return f"/pipelines/{verb}/{org}/{pipeline.strip('/')}"
    return f"/pipelines/{verb}/{pipeline}"


def _body(
    date: datetime | None, first: datetime | None, last: datetime | None, parameters: list[str] | None
) -> dict[str, Any]:
    days = {"date": day_text(date), "start_date": day_text(first), "end_date": day_text(last)}
    body: dict[str, Any] = {name: value for name, value in days.items() if value is not None}
    if parameters:
        body["parameters"] = parse_parameters(parameters)
    return body


def show_run(record: dict[str, Any], *, as_json: bool) -> None:
    """Print a run with its steps."""
    if as_json:
        print_json(record)
        return
    console = open_console()
    console.print(_run_table([record]))
    columns = ["step_id", "status", "rows_processed", "duration_ms"]
    rows = [[step.get(column) for column in columns] for step in record["steps"]]
    console.print(build_table(["step", "status", "rows", "ms"], rows))
    if record.get("error_message"):
        console.print(record["error_message"], style="red", markup=False)


def _run_table(records: list[dict[str, Any]]) -> Any:
    columns = ["pipeline_logging_id", "pipeline_id", "status", "start_date", "end_date", "duration_ms"]
    rows = [[record.get(column) for column in columns] for record in records]
    return build_table(["run", "pipeline", "status", "from", "to", "ms"], rows)


def register(root: typer.Typer) -> None:
    for command in (run, backfill, gaps):
        root.command()(command)
