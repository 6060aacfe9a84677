"""prices list | set | sync | reset, rerate"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

import typer

from convergence.cli.display import build_table, open_console, print_json
from convergence.cli.gateway import open_gateway
from convergence.cli.options import AsJson, First, Last, Org, Provider, Server, range_params, run_async
from convergence.cli.runs import await_run
from convergence.errors import InvalidRequest

app = typer.Typer(help="Price books of an organization.", no_args_is_help=True, rich_markup_mode=None)

_HEAD = ("model_id", "service_tier", "condition", "currency", "valid_from", "valid_to")
_TAIL = ("source", "hours_utc", "price_version")
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would move, and change nothing.")]


def rerate(
    org: Org,
    first: First,
    last: Last = None,
    provider: Annotated[str | None, typer.Option(help="openai, anthropic, ...; without: all.")] = None,
    dry_run: DryRun = False,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Price past days anew with today's price books; what was billed stays. Without --to: up to today."""
    body = {**range_params(first, last), "dry_run": dry_run}
    if provider is not None:
        body["provider"] = provider
    record = run_async(_rerate(server, org, body))
    if as_json:
        print_json(record)
    else:
        _show_moves(record, dry_run=dry_run)
    raise typer.Exit(0 if record["status"] == "COMPLETED" else 1)


async def _rerate(server: str | None, org: str, body: dict[str, Any]) -> dict[str, Any]:
    async with open_gateway(server, work=True) as gateway:
        accepted = await gateway.call("POST", f"/costs/{org}/rerate", org=org, body=body)
        return await await_run(gateway, org, accepted["pipeline_logging_id"])


def _show_moves(record: dict[str, Any], *, dry_run: bool) -> None:
    console = open_console()
    moves = [
        (step["metadata"]["provider"], move) for step in record["steps"] for move in step["metadata"].get("moved", [])
    ]
    if moves:
        columns = ["provider", "model", "list cost before", "after", "moved", ""]
        console.print(build_table(columns, [[provider, *_move_cells(move)] for provider, move in moves]))
    else:
        console.print("nothing moves" if dry_run else "nothing moved")
    for warning in record.get("metadata", {}).get("warnings", []):
        console.print(warning, style="yellow", markup=False)
    if record.get("error_message"):
        console.print(record["error_message"], style="red", markup=False)


def _move_cells(move: dict[str, Any]) -> list[Any]:
    before, after = move["list_cost_before"], move["list_cost_after"]
    moved = Decimal(after or 0) - Decimal(before or 0)
    return [move["model"], before or "no price", after or "no price", f"{moved:+f}", move["currency"]]


@app.command("list")
def list_prices(
    org: Org,
    provider: Provider,
    model: Annotated[str | None, typer.Option(help="Models that begin with this.")] = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """The price book of a provider."""
    items = run_async(_call(server, "GET", f"/integrations/{org}/{provider}/pricing", org))["items"]
    items = [item for item in items if model is None or item["model_id"].startswith(model)]
    if as_json:
        print_json(items)
        return
    rows = [[*(item[name] for name in _HEAD), _rates(item), item["source"]] for item in items]
    open_console().print(build_table([*_HEAD, "rates", "source"], rows))


@app.command("set")
def set_price(
    org: Org,
    provider: Provider,
    model: Annotated[str, typer.Argument(help="The model's name.")],
    values: Annotated[list[str], typer.Argument(help="name=value, such as input_per_million=2.50.")],
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Change a price of a model, or add it where there is none. It counts as the organization's own from then on."""
    made = run_async(_set(server, f"/integrations/{org}/{provider}/pricing", org, model, _read_values(values)))
    if as_json:
        print_json(made)
    else:
        typer.echo(f"{model}: {_rates(made)}")


@app.command()
def sync(
    org: Org,
    provider: Provider,
    apply: Annotated[bool, typer.Option("--apply", help="Write what is proposed.")] = False,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """What the published price list would change. The organization's own prices are never overwritten."""
    found = run_async(_call(server, "POST", f"/integrations/{org}/{provider}/pricing/sync", org, {"apply": apply}))
    if as_json:
        print_json(found)
    else:
        _show_difference(found)


def _show_difference(found: dict[str, Any]) -> None:
    console = open_console()
    for proposal in found["proposals"]:
        price, old = proposal["price"], proposal["replaces"] or {}
        rates = [f"{name} {old.get(name, '-')} -> {value}" for name, value in _moved_rates(price, old)]
        console.print(f"{proposal['kind']} {_name(price)}: {', '.join(rates)}", markup=False)
    for kept in found["kept"]:
        console.print(f"kept {_name(kept['price'])}: the organization's own ({kept['price']['source']})", markup=False)
    for model, reason in found["left_out"].items():
        console.print(f"left out {model}: {reason}", markup=False)
    count = len(found["proposals"])
    done = "written" if found["applied"] else "proposed: --apply writes them" if count else "proposed"
    console.print(f"{found['published_by']}: {count} prices {done}", markup=False)


def _name(price: dict[str, Any]) -> str:
    parts = [price["model_id"], price["service_tier"], price["condition"], price["currency"]]
    return f"{' '.join(part for part in parts if part)} from {price['valid_from'] or 'the beginning'}"


def _moved_rates(price: dict[str, Any], old: dict[str, Any]) -> list[tuple[str, str]]:
    rates = {name: value for name, value in price.items() if name not in (*_HEAD, *_TAIL)}
    return [(name, value) for name, value in rates.items() if old.get(name) != value]


@app.command()
def reset(org: Org, provider: Provider, server: Server = None) -> None:
    """Put the shipped prices in place of all others, the organization's own too."""
    items = run_async(_call(server, "POST", f"/integrations/{org}/{provider}/pricing/reset", org))["items"]
    typer.echo(f"{provider}: {len(items)} prices")


async def _set(server: str | None, path: str, org: str, model: str, values: dict[str, str]) -> Any:
    async with open_gateway(server) as gateway:
        items = (await gateway.call("GET", path, org=org))["items"]
        if any(item["model_id"] == model for item in items) and not _is_new(items, model, values):
            return await gateway.call("PUT", f"{path}/{model}", org=org, body=values)
        return await gateway.call("POST", path, org=org, body={"model_id": model, **values})


def _is_new(items: list[dict[str, Any]], model: str, values: dict[str, str]) -> bool:
    """Whether the model has no price of that tier, currency and first day yet."""
    named = {name: values[name] for name in ("service_tier", "currency", "valid_from") if name in values}
    own = [item for item in items if item["model_id"] == model]
    return not any(all(item[name] == value for name, value in named.items()) for item in own)


async def _call(server: str | None, method: str, path: str, org: str, body: Any = None) -> Any:
    async with open_gateway(server) as gateway:
        return await gateway.call(method, path, org=org, body=body)


def _read_values(texts: list[str]) -> dict[str, str]:
    values = dict(text.partition("=")[::2] for text in texts)
    if "" in values or len(values) != len(texts) or not all("=" in text for text in texts):
        raise InvalidRequest("a value is not name=value, or a name comes twice", hint="input_per_million=2.50")
    return values


def _rates(item: dict[str, Any]) -> str:
    named = {name: value for name, value in item.items() if name not in (*_HEAD, *_TAIL)}
    return ", ".join(f"{name} {value}" for name, value in named.items())


def register(root: typer.Typer) -> None:
    root.command()(rerate)
