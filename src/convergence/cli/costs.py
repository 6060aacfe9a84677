"""costs, query"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from convergence.cli.display import build_cost_table, build_table, open_console, print_json
from convergence.cli.gateway import open_gateway
from convergence.cli.options import AsJson, First, Last, Org, Server, parse_parameters, range_params, run_async
from convergence.errors import InvalidRequest


def costs(
    org: Org,
    first: First = None,
    last: Last = None,
    group_by: Annotated[
        str, typer.Option(help="Comma-separated: provider, service, model, project, api_key, person, team, ...")
    ] = "provider",
    granularity: Annotated[str, typer.Option(help="day, month or total.")] = "total",
    limit: Annotated[int | None, typer.Option(min=1, help="Rows to show; the total is always of all.")] = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """What was spent. Without days: the last 30."""
    params = {**range_params(first, last), "group_by": group_by, "granularity": granularity}
    report = run_async(_costs(server, org, params))
    if as_json:
        print_json(report)
        return
    keys = ([] if granularity == "total" else [granularity]) + [key for key in group_by.split(",") if key]
    console = open_console()
    for item in report["unpriced"]:
        console.print(_describe_unpriced(item), style="yellow", markup=False)
    console.print(build_cost_table(keys, report, limit=limit))


def _describe_unpriced(item: dict[str, Any]) -> str:
    what = " ".join(str(item[name]) for name in ("provider", "model", "token_class") if item[name])
    billed = f"{item['billed_cost']} {item['currency']}"
    return f"no list price: {what}, {item['quantity']} {item['unit']}, billed {billed}"


async def _costs(server: str | None, org: str, params: dict[str, Any]) -> Any:
    async with open_gateway(server) as gateway:
        return await gateway.call("GET", f"/costs/{org}", org=org, params=params)


def query(
    org: Org,
    sql: Annotated[str, typer.Argument(help="One GoogleSQL SELECT; - reads it from standard input.")],
    parameter: Annotated[list[str] | None, typer.Option("--param", help="name=value, used as @name.")] = None,
    max_rows: Annotated[int, typer.Option(min=1)] = 1000,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write .csv, .arrow or .parquet.")] = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Ask the organization's own tables."""
    body: dict[str, Any] = {"sql": sys.stdin.read() if sql == "-" else sql, "max_rows": max_rows}
    if parameter:
        body["params"] = parse_parameters(parameter)
    if output is not None:
        output.write_bytes(run_async(_download(server, org, {**body, "format": _format(output)})))
        typer.echo(f"{output}: {output.stat().st_size:,} bytes")
        return
    result = run_async(_query(server, org, body))
    if as_json:
        print_json(result)
        return
    names = [column["name"] for column in result["columns"]]
    open_console().print(build_table(names, [[row[name] for name in names] for row in result["rows"]]))
    more = ", cut: raise --max-rows" if result["truncated"] else ""
    typer.echo(f"{result['row_count']} rows in {result['duration_ms']} ms{more}")


async def _query(server: str | None, org: str, body: dict[str, Any]) -> Any:
    async with open_gateway(server) as gateway:
        return await gateway.call("POST", f"/query/{org}", org=org, body=body)


async def _download(server: str | None, org: str, body: dict[str, Any]) -> bytes:
    async with open_gateway(server) as gateway:
        return await gateway.download(f"/query/{org}", org=org, body=body)


def _format(output: Path) -> str:
    kind = output.suffix.removeprefix(".")
    if kind not in {"csv", "arrow", "parquet"}:
        raise InvalidRequest(f"{output} ends with none of .csv, .arrow and .parquet")
    return kind


def register(root: typer.Typer) -> None:
    for command in (costs, query):
        root.command()(command)
