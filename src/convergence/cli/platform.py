"""bootstrap, validate, doctor."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from convergence.cli.display import open_console, print_json
from convergence.cli.gateway import open_gateway
from convergence.cli.options import AsJson, Server, run_async
from convergence.errors import ConvergenceError

if TYPE_CHECKING:
    from convergence.security import KeyManagement

_PROBE: Final = b"convergence doctor asks whether keys wrap"


def bootstrap(
    server: Server = None,
    as_json: AsJson = False,
    force_recreate_dataset: Annotated[
        bool,
        typer.Option("--force-recreate-dataset", help="Drop the platform's dataset first: organizations are lost."),
    ] = False,
) -> None:
    """Create the platform's tables, or add what they lack."""
    result = run_async(_bootstrap(server, force=force_recreate_dataset))
    if as_json:
        print_json(result)
        return
    created, existing = len(result["tables_created"]), len(result["tables_existing"])
    typer.echo(f"{result['dataset']}: {created} tables created, {existing} were there")


async def _bootstrap(server: str | None, *, force: bool) -> dict[str, list[str]]:
    async with open_gateway(server) as gateway:
        body = {"force_recreate_dataset": force}
        answer: dict[str, list[str]] = await gateway.call("POST", "/admin/bootstrap", body=body)
        return answer


def validate(
    root: Annotated[Path | None, typer.Argument(help="The configs folder; default: CONFIGS_DIR.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check every pipeline, schema and SQL file; print all faults at once."""
    from convergence.catalog import Catalog
    from convergence.settings import load_settings
    from convergence.steps.registry import check_step

    catalog = Catalog(root or load_settings().configs_dir)
    faults = catalog.faults(partial(check_step, find_schema=catalog.schema))
    if as_json:
        print_json([str(fault) for fault in faults])
    else:
        for fault in faults:
            typer.echo(str(fault), err=True)
        typer.echo(f"{len(faults)} faults" if faults else f"{len(catalog.pipelines())} pipelines, no faults")
    raise typer.Exit(2 if faults else 0)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold before anything works."""

    name: str
    passed: bool
    message: str


def doctor(as_json: AsJson = False) -> None:
    """Check this machine: settings, secrets, configs, disk, warehouse, keys."""
    checks = list(_checks())
    if as_json:
        print_json([{"name": check.name, "passed": check.passed, "message": check.message} for check in checks])
    else:
        console = open_console()
        for check in checks:
            mark = "[green]ok[/]  " if check.passed else "[red]FAIL[/]"
            console.print(f"{mark} {check.name}: ", end="")
            console.print(check.message, markup=False)
    raise typer.Exit(0 if all(check.passed for check in checks) else 1)


def _checks() -> Iterator[Check]:
    from convergence.bootstrap import prepare_settings
    from convergence.settings import load_settings

    yield Check("python", sys.version_info >= (3, 11), sys.version.split()[0])
    try:
        settings = prepare_settings(load_settings())
    except ConvergenceError as error:
        yield Check("settings", False, f"{error.message} {error.hint or ''}".strip())  # noqa: FBT003 - the field's name says it
        return
    yield Check("settings", True, f"{settings.environment}, warehouse {settings.warehouse}")  # noqa: FBT003 - the same
    yield _check_configs(settings.configs_dir)
    free = shutil.disk_usage(_existing(settings.data_dir)).free
    yield Check("disk", free > 1 << 30, f"{free / (1 << 30):.1f} GiB free for {settings.data_dir}")
    yield from run_async(_check_platform())


def _check_configs(root: Path) -> Check:
    from convergence.catalog import Catalog
    from convergence.steps.registry import check_step

    catalog = Catalog(root)
    faults = catalog.faults(partial(check_step, find_schema=catalog.schema))
    text = f"{len(faults)} faults: convergence validate" if faults else f"{len(catalog.pipelines())} pipelines"
    return Check("configs", not faults, text)


async def _check_platform() -> list[Check]:
    try:
        async with open_gateway(None) as gateway:
            assert gateway.platform is not None  # noqa: S101 - an embedded gateway has one
            organizations = await gateway.platform.organizations.active_organizations()
            opens = Check("platform", True, f"opens; {len(organizations)} active organizations")  # noqa: FBT003 - the same
            return [opens, await _check_keys(gateway.platform.security.keys)]
    except ConvergenceError as error:
        return [Check("platform", False, f"{error.message} {error.hint or ''}")]  # noqa: FBT003 - the same


async def _check_keys(keys: KeyManagement) -> Check:
    """Wrap something and unwrap it again, as sealing a credential does."""
    import asyncio  # a tenth of the time that --help takes

    def wrap() -> str:
        wrapped, version = keys.wrap(_PROBE, _PROBE)
        keys.unwrap(wrapped, version, _PROBE)
        return version

    try:
        return Check("keys", True, f"{await asyncio.to_thread(wrap)} wraps")  # noqa: FBT003 - the same
    except ConvergenceError as error:
        return Check("keys", False, f"{error.message} {error.hint or ''}")  # noqa: FBT003 - the same


def _existing(folder: Path) -> Path:
    return folder if folder.exists() else _existing(folder.absolute().parent)


def register(app: typer.Typer) -> None:
    for command in (bootstrap, validate, doctor):
        app.command()(command)
