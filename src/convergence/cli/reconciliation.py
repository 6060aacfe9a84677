"""reconcile"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final

import typer

from convergence.cli.display import build_table, open_console, print_json
from convergence.cli.failures import FAILED
from convergence.cli.gateway import open_gateway
from convergence.cli.options import AsJson, First, Last, Org, Server, range_params, run_async
from convergence.errors import InvalidRequest
from convergence.kit.money import format_usd

_COLUMNS: Final = ("usage_x_price", "provider_reported", "invoiced", "residual")
_DIVERGED: Final = "DIVERGED"


def reconcile(
    org: Org,
    month: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m"], help="One month, such as 2026-10; without, this and the last.")
    ] = None,
    provider: Annotated[str | None, typer.Option(help="Comma-separated; without, all.")] = None,
    first: First = None,
    last: Last = None,
    daily: Annotated[bool, typer.Option("--daily", help="Day by day, without the invoices.")] = False,
    tolerance: Annotated[
        str | None, typer.Option(help="Share that may stay unexplained; 0.005 is half a percent.")
    ] = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Whether usage times price, the provider's report and its invoices agree. Ends with 1 where something diverges."""
    params = {
        **_days(month, first, last),
        "granularity": "day" if daily else "month",
        "provider": provider,
        "tolerance": tolerance,
    }
    found = run_async(_reconcile(server, org, params))
    if as_json:
        print_json(found)
    else:
        _show(found)
    if found["statuses"][_DIVERGED]:
        raise typer.Exit(FAILED)


async def _reconcile(server: str | None, org: str, params: dict[str, Any]) -> Any:
    async with open_gateway(server) as gateway:
        return await gateway.call("GET", f"/reconciliation/{org}", org=org, params=params)


def _days(month: datetime | None, first: datetime | None, last: datetime | None) -> dict[str, str | None]:
    if month is not None and (first is not None or last is not None):
        raise InvalidRequest("--month stands beside --from or --to", hint="Give one of them.")
    if first is not None or last is not None:
        return range_params(first, last)
    if month is not None:
        start, end = month.date(), (month + timedelta(days=31)).replace(day=1).date() - timedelta(days=1)
    else:
        end = datetime.now(UTC).date()
        start = (end.replace(day=1) - timedelta(days=1)).replace(day=1)
    return {"start_date": start.isoformat(), "end_date": end.isoformat()}


def _show(found: dict[str, Any]) -> None:
    columns = ["period", "provider", "currency", *(name.replace("_", " ") for name in _COLUMNS), "status", "because"]
    rows = [
        [_period(row, found["granularity"]), row["provider"], row["currency"]]
        + [_amount(row[name]) for name in _COLUMNS]
        + [row["status"], _because(row)]
        for row in found["rows"]
    ]
    open_console().print(build_table(columns, rows))
    typer.echo(", ".join(f"{count} {status}" for status, count in found["statuses"].items() if count) or "no costs")


def _period(row: dict[str, Any], granularity: str) -> str:
    text: str = row["period"]
    return text if granularity == "day" else text[:7]


def _amount(text: str | None) -> str | None:
    return None if text is None else format_usd(Decimal(text)).replace("$", "")


def _because(row: dict[str, Any]) -> str:
    """What is missing, then the reasons, the largest first; less than half a cent is not shown."""
    reasons = sorted(row["explained_by"].items(), key=lambda item: -abs(Decimal(item[1])))
    shown = [f"{name} {_amount(amount)}" for name, amount in reasons if abs(Decimal(amount)) >= Decimal("0.005")]
    return ", ".join([f"no {name}" for name in row["missing"]] + shown)


def register(root: typer.Typer) -> None:
    root.command()(reconcile)
