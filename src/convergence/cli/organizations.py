"""org onboard | dryrun | show | keys"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from convergence.cli.display import build_table, open_console, print_json
from convergence.cli.gateway import open_gateway
from convergence.cli.options import AsJson, Org, Server, run_async

app = typer.Typer(help="Organizations and their API keys.", no_args_is_help=True, rich_markup_mode=None)
keys = typer.Typer(help="API keys of an organization.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(keys, name="keys")

Company = Annotated[str, typer.Option("--company", help="The organization's name.")]
Email = Annotated[str, typer.Option("--email", help="The administrator's address.")]
PlanName = Annotated[str, typer.Option("--plan", help="STARTER, PROFESSIONAL or SCALE.")]


async def _call(server: str | None, method: str, path: str, org: str | None, body: Any = None) -> Any:
    async with open_gateway(server) as gateway:
        return await gateway.call(method, path, org=org, body=body)


@app.command()
def onboard(
    org: Org, company: Company, email: Email, plan: PlanName = "STARTER", server: Server = None, as_json: AsJson = False
) -> None:
    """Create an organization: its dataset, its plan and its first API key, shown once."""
    body = {"org_slug": org, "company_name": company, "admin_email": email, "subscription_plan": plan}
    result = run_async(_call(server, "POST", "/organizations/onboard", None, body))
    if as_json:
        print_json(result)
        return
    typer.echo(
        f"{result['org_slug']} is onboarded on plan {result['subscription_plan']}, dataset {result['dataset_id']}"
    )
    typer.echo(f"API key (shown once): {result['api_key']}")


@app.command()
def dryrun(
    org: Org, company: Company, email: Email, plan: PlanName = "STARTER", server: Server = None, as_json: AsJson = False
) -> None:
    """Say whether an organization could be onboarded; create nothing."""
    body = {"org_slug": org, "company_name": company, "admin_email": email, "subscription_plan": plan}
    result = run_async(_call(server, "POST", "/organizations/dryrun", None, body))
    if as_json:
        print_json(result)
    else:
        rows = [(check["name"], "ok" if check["passed"] else "FAIL", check["message"]) for check in result["checks"]]
        open_console().print(build_table(["check", "result", "message"], rows))
    raise typer.Exit(0 if result["ready_for_onboarding"] else 1)


@app.command()
def show(org: Org, server: Server = None, as_json: AsJson = False) -> None:
    """Profile, plan, limits and what is used of them."""
    result = run_async(_call(server, "GET", f"/organizations/{org}", org))
    if as_json:
        print_json(result)
        return
    open_console().print(build_table(["field", "value"], _flatten(result)))


@keys.command("list")
def list_keys(org: Org, server: Server = None, as_json: AsJson = False) -> None:
    """Fingerprints, scopes and expiry of the keys."""
    result = run_async(_call(server, "GET", f"/organizations/{org}/api-keys", org))
    if as_json:
        print_json(result)
        return
    columns = ["api_key_id", "name", "api_key_fingerprint", "scopes", "expires_at", "revoked_at"]
    rows = [
        [", ".join(item[name]) if name == "scopes" else item.get(name) for name in columns] for item in result["items"]
    ]
    open_console().print(build_table(columns, rows))


@keys.command("create")
def create_key(
    org: Org,
    name: Annotated[str, typer.Option(help="What it is for.")],
    scope: Annotated[list[str] | None, typer.Option(help="May be repeated; default: all.")] = None,
    expires: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day it ends, UTC.")] = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Make a key; it is shown once."""
    body: dict[str, Any] = {"name": name}
    if scope:
        body["scopes"] = scope
    if expires:
        body["expires_at"] = f"{expires.date().isoformat()}T00:00:00Z"
    result = run_async(_call(server, "POST", f"/organizations/{org}/api-keys", org, body))
    if as_json:
        print_json(result)
    else:
        typer.echo(f"API key (shown once): {result['api_key']}")


@keys.command("revoke")
def revoke_key(org: Org, api_key_id: Annotated[str, typer.Argument()], server: Server = None) -> None:
    """End a key at once."""
    run_async(_call(server, "DELETE", f"/organizations/{org}/api-keys/{api_key_id}", org))
    typer.echo(f"{api_key_id} is revoked")


def _flatten(value: dict[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for name, item in value.items():
        if isinstance(item, dict):
            rows += _flatten(item, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, item))
    return rows
