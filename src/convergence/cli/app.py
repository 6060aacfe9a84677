"""The commands, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from convergence.cli import (
    costs,
    demo,
    exports,
    files,
    identity,
    integrations,
    keys,
    organizations,
    platform,
    prices,
    reconciliation,
    runs,
    serving,
)

app = typer.Typer(
    name="convergence",
    help="Cost and usage of AI and cloud providers, per organization, exact to the cent.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _show_version(value: bool) -> None:  # noqa: FBT001 - typer calls it
    if value:
        from convergence import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Cost and usage of AI and cloud providers, per organization, exact to the cent."""


demo.register(app)
serving.register(app)
platform.register(app)
app.add_typer(organizations.app, name="org")
app.add_typer(integrations.app, name="integration")
app.add_typer(keys.app, name="keys")
runs.register(app)
app.add_typer(runs.app, name="runs")
app.add_typer(files.app, name="files")
app.add_typer(exports.app, name="export")
app.add_typer(identity.app, name="identity")
costs.register(app)
reconciliation.register(app)
prices.register(app)
app.add_typer(prices.app, name="prices")
