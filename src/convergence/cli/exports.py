"""export focus"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from convergence.cli.gateway import open_gateway
from convergence.cli.options import First, Last, Org, Server, range_params, run_async
from convergence.errors import InvalidRequest

app = typer.Typer(help="Files for other programs.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _root() -> None:
    """Files for other programs."""


@app.command()
def focus(
    org: Org,
    output: Annotated[Path, typer.Option("--output", "-o", help="Write .csv or .parquet.")],
    first: First = None,
    last: Last = None,
    version: Annotated[str, typer.Option(help="1.2 or 1.4 of the specification.")] = "1.4",
    server: Server = None,
) -> None:
    """FOCUS Cost and Usage rows. Without days: the last 30."""
    kind = output.suffix.removeprefix(".")
    if kind not in {"csv", "parquet"}:
        raise InvalidRequest(f"{output} ends with neither .csv nor .parquet")
    params = {**range_params(first, last), "version": version, "format": kind}
    run_async(_export(server, org, params, output))
    typer.echo(f"{output}: {output.stat().st_size:,} bytes")


async def _export(server: str | None, org: str, params: dict[str, Any], output: Path) -> None:
    async with open_gateway(server) as gateway:
        await gateway.save(f"/export/{org}/focus", output, org=org, params=params)
