"""files load, files remove"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from convergence.cli.gateway import open_gateway
from convergence.cli.options import AsJson, Org, Server, run_async
from convergence.cli.runs import await_run, show_run
from convergence.errors import InvalidRequest

app = typer.Typer(help="Exports, invoices and FOCUS files of vendors.", no_args_is_help=True, rich_markup_mode=None)

_HELP = "export (the console's own format), invoice, focus or identity."


@app.callback()
def _root() -> None:
    """Exports, invoices and FOCUS files of vendors."""


@app.command()
def load(
    org: Org,
    provider: Annotated[str, typer.Argument(help="deepseek, gcp, ...; another cloud's name with --kind focus.")],
    file: Annotated[Path, typer.Argument(help="CSV, NDJSON, Parquet, or a ZIP of them.")],
    kind: Annotated[str, typer.Option(help=_HELP)] = "export",
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Load a file and wait for its run. The same content twice is the same run."""
    _upload(server, org, provider, file, kind, as_json=as_json)


@app.command()
def remove(
    org: Org,
    provider: Annotated[str, typer.Argument(help="The name that the file was loaded under.")],
    file: Annotated[Path, typer.Argument(help="The FOCUS file, or another of the same accounts and days.")],
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Take back what a FOCUS file has loaded: the days of its billing accounts. It can be loaded again."""
    _upload(server, org, provider, file, "focus_removal", as_json=as_json)


def _upload(server: str | None, org: str, provider: str, file: Path, kind: str, *, as_json: bool) -> None:
    if not file.is_file():
        raise InvalidRequest(f"{file} is no file")
    record = run_async(_load(server, org, f"/files/{org}/{provider}", file, kind))
    show_run(record, as_json=as_json)
    raise typer.Exit(1 if record["status"] in {"FAILED", "CANCELLED"} else 0)


async def _load(server: str | None, org: str, path: str, file: Path, kind: str) -> dict[str, Any]:
    async with open_gateway(server, work=True) as gateway:
        accepted = await gateway.upload(path, file, org=org, fields={"kind": kind})
        return await await_run(gateway, org, accepted["pipeline_logging_id"])
