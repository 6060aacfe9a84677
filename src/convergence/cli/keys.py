"""keys rotate"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from convergence.cli.display import print_json
from convergence.cli.gateway import open_gateway
from convergence.cli.options import AsJson, Server, run_async

app = typer.Typer(help="Keys that credentials are sealed with.", no_args_is_help=True, rich_markup_mode=None)

_MANAGED = (
    "No version was made: the key has a schedule of its own, in Cloud KMS its rotation period. For one now, which the"
    " next `convergence keys rotate` moves everything to:\n"
    "  gcloud kms keys versions create --key KEY --keyring RING --location LOCATION --primary"
)


@app.callback()
def _group() -> None:
    """Keys that credentials are sealed with."""


@app.command()
def rotate(
    server: Server = None,
    as_json: AsJson = False,
    rewrap_only: Annotated[
        bool, typer.Option("--rewrap-only", help="Make no new version; move what is not under the newest.")
    ] = False,
) -> None:
    """Make a new key version and move every stored credential to it. May be broken off and called again."""
    result = run_async(_rotate(server, new_version=not rewrap_only))
    if as_json:
        print_json(result)
    else:
        _show(result, asked=not rewrap_only)
    raise typer.Exit(1 if result["unreadable"] else 0)


async def _rotate(server: str | None, *, new_version: bool) -> dict[str, Any]:
    async with open_gateway(server) as gateway:
        result: dict[str, Any] = await gateway.call("POST", "/admin/keys/rotate", body={"new_version": new_version})
        while result["remaining"]:
            step = await gateway.call("POST", "/admin/keys/rotate", body={"new_version": False})
            result = {**step, "rotated": result["rotated"], "rewrapped": result["rewrapped"] + step["rewrapped"]}
    return result


def _show(result: dict[str, Any], *, asked: bool) -> None:
    typer.echo(f"{'new' if result['rotated'] else 'newest'} key version: {result['key_version']}")
    typer.echo(f"{result['rewrapped']} credentials moved to it")
    if asked and result["managed"]:
        typer.echo(_MANAGED)
    for name in result["unreadable"]:
        typer.echo(f"cannot be opened, store it again: {name}", err=True)
