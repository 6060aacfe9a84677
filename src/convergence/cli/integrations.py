"""integration setup | validate | list | remove"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from convergence.cli.display import build_table, open_console, print_json
from convergence.cli.gateway import open_gateway
from convergence.cli.options import AsJson, Org, Provider, Server, parse_parameters, run_async
from convergence.errors import InvalidRequest

app = typer.Typer(help="Credentials of an organization's providers.", no_args_is_help=True, rich_markup_mode=None)


async def _call(server: str | None, method: str, path: str, org: str, body: Any = None) -> Any:
    async with open_gateway(server) as gateway:
        return await gateway.call(method, path, org=org, body=body)


@app.command()
def setup(
    org: Org,
    provider: Provider,
    name: Annotated[str | None, typer.Option(help="What to call the credential.")] = None,
    credential_env: Annotated[str | None, typer.Option(help="Environment variable that holds it.")] = None,
    credential_file: Annotated[Path | None, typer.Option(help="File that holds it; - is standard input.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(help="name=value, what the provider needs beside it.")] = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Check a credential with its provider, seal it and store it. It is never taken from the command line."""
    body: dict[str, Any] = {"credential": _read_credential(provider, credential_env, credential_file)}
    if name:
        body["credential_name"] = name
    if metadata:
        body["metadata"] = parse_parameters(metadata)
    result = run_async(_call(server, "POST", f"/integrations/{org}/{provider}/setup", org, body))
    if as_json:
        print_json(result)
    else:
        typer.echo(f"{result['provider']}: {result['validation_status']}")


@app.command()
def validate(org: Org, provider: Provider, server: Server = None, as_json: AsJson = False) -> None:
    """Check the stored credential with its provider again."""
    result = run_async(_call(server, "POST", f"/integrations/{org}/{provider}/validate", org))
    if as_json:
        print_json(result)
    else:
        typer.echo(f"{result['provider']}: {result['validation_status']}")


@app.command("list")
def list_integrations(org: Org, server: Server = None, as_json: AsJson = False) -> None:
    """Which providers are set up, and whether their credentials are good."""
    result = run_async(_call(server, "GET", f"/integrations/{org}", org))
    if as_json:
        print_json(result)
        return
    columns = ["status", "credential_name", "fingerprint", "last_validated_at", "last_error"]
    rows = [[name, *(item.get(column) for column in columns)] for name, item in result["integrations"].items()]
    open_console().print(build_table(["provider", *columns], rows))


@app.command()
def remove(org: Org, provider: Provider, server: Server = None) -> None:
    """Delete the stored credential for good."""
    run_async(_call(server, "DELETE", f"/integrations/{org}/{provider}", org))
    typer.echo(f"{provider}: removed")


def _read_credential(provider: str, variable: str | None, file: Path | None) -> str:
    if variable is not None:
        text = os.environ.get(variable, "")
        if not text:
            raise InvalidRequest(f"environment variable {variable} is not set or empty")
        return text
    if file is not None:
        return (sys.stdin.read() if str(file) == "-" else file.read_text()).strip()
    if not sys.stdin.isatty():
        raise InvalidRequest(
            "no credential was given", hint="Use --credential-env NAME, --credential-file FILE, or a terminal."
        )
    text = typer.prompt(f"{provider} credential", hide_input=True)
    return str(text)
