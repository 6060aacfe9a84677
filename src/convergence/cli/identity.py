"""identity show | preview | load | unmapped"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from convergence.cli.display import build_table, open_console, print_json
from convergence.cli.gateway import open_gateway
from convergence.cli.options import AsJson, First, Last, Org, Server, range_params, run_async
from convergence.cli.runs import await_run, show_run
from convergence.errors import InvalidRequest
from convergence.kit.money import format_usd

app = typer.Typer(help="Which person, team and cost centre pays for what.", no_args_is_help=True, rich_markup_mode=None)
File = Annotated[Path, typer.Argument(help="CSV: provider, api_key_id, person_email, team, valid_from, ...")]
Limit = Annotated[int | None, typer.Option(min=1, help="Rows to show.")]
_ACCOUNTS = ("api_key_id", "masked_key", "key_name", "user_id", "project_id")


@app.command()
def show(org: Org, server: Server = None, as_json: AsJson = False) -> None:
    """The mapping as it holds, and the lines that were left out of it."""
    result = run_async(_call(server, "GET", f"/identity/{org}", org))
    if as_json:
        print_json(result)
        return
    columns = ["person", "team", "cost_center", "valid_from", "valid_to", "source"]
    rows = [[row["provider"], _account(row), *(row[name] for name in columns)] for row in result["items"]]
    open_console().print(build_table(["provider", "account", *columns], rows))
    _show_errors(result["errors"])


@app.command()
def preview(
    org: Org, file: File, first: First = None, last: Last = None, server: Server = None, as_json: AsJson = False
) -> None:
    """Which dollars a mapping would move. Changes nothing. Without days: the last 30."""
    days = {name: day for name, day in range_params(first, last).items() if day is not None}
    body = {"csv": _read(file), **days}
    result = run_async(_call(server, "POST", f"/identity/{org}/preview", org, body=body))
    if as_json:
        print_json(result)
        return
    rows = [[_spender(move["before"]), _spender(move["after"]), *_amount(move)] for move in result["moves"]]
    open_console().print(build_table(["from", "to", "billed cost", "currency"], rows))
    for total in result["totals"]:
        typer.echo(f"{_money(total, 'moved_cost')} of {_money(total, 'billed_cost')} {total['currency']} would move")
    _show_errors(result["errors"])


@app.command()
def load(org: Org, file: File, server: Server = None, as_json: AsJson = False) -> None:
    """Make a CSV file the whole mapping, and wait for its run."""
    _read(file)
    record = run_async(_load(server, org, file))
    show_run(record, as_json=as_json)
    raise typer.Exit(1 if record["status"] in {"FAILED", "CANCELLED"} else 0)


@app.command()
def unmapped(
    org: Org,
    first: First = None,
    last: Last = None,
    limit: Limit = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Keys, accounts and projects that no team pays for, by their dollars. Without days: the last 30."""
    params = {**range_params(first, last), "limit": limit}
    result = run_async(_call(server, "GET", f"/identity/{org}/unmapped", org, params=params))
    if as_json:
        print_json(result)
        return
    columns = ["provider", "kind", "account", "name", "person", "first_day", "last_day"]
    rows = [[*(row[name] for name in columns), *_amount(row)] for row in result["items"]]
    open_console().print(build_table([*columns, "billed cost", "currency"], rows))
    for total in result["totals"]:
        typer.echo(
            f"{_money(total, 'unmapped_cost')} of {_money(total, 'billed_cost')} {total['currency']} has no team"
        )


async def _call(server: str | None, method: str, path: str, org: str, **arguments: Any) -> Any:
    async with open_gateway(server) as gateway:
        return await gateway.call(method, path, org=org, **arguments)


async def _load(server: str | None, org: str, file: Path) -> dict[str, Any]:
    async with open_gateway(server, work=True) as gateway:
        accepted = await gateway.upload(f"/files/{org}/identity", file, org=org, fields={"kind": "identity"})
        return await await_run(gateway, org, accepted["pipeline_logging_id"])


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file} is no text file: {type(error).__name__}") from None


def _account(row: Mapping[str, Any]) -> str | None:
    return next((row[name] for name in _ACCOUNTS if row[name]), None)


def _spender(side: Mapping[str, Any]) -> str:
    return " / ".join(side[name] or "-" for name in ("person", "team", "cost_center"))


def _amount(row: Mapping[str, Any]) -> tuple[str, str]:
    return _money(row, "billed_cost"), row["currency"]


def _money(row: Mapping[str, Any], name: str) -> str:
    return format_usd(Decimal(row[name])).replace("$", "")


def _show_errors(errors: list[dict[str, Any]]) -> None:
    for error in errors:
        typer.echo(f"line {error['line']}: {error['column'] or 'it'} {error['reason']}")
