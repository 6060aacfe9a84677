"""Options that many commands share."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import typer

from convergence.errors import InvalidRequest

Result = TypeVar("Result")

Server = Annotated[
    str | None,
    typer.Option("--server", envvar="CONVERGENCE_SERVER", help="URL of a running server; without, the local data."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Org = Annotated[str, typer.Argument(help="The organization's slug.")]
Provider = Annotated[str, typer.Argument(help="openai, ..., or one that a pipeline declares.")]
Day = Annotated[datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="One UTC day.")]
First = Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First UTC day, inside.")]
Last = Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last UTC day, inside.")]


def day_text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.date().isoformat()


def range_params(first: datetime | None, last: datetime | None) -> dict[str, str | None]:
    """The days of a reading command: from `first` up to today, or up to `last`; nothing leaves it to the server.

    Raises:
        InvalidRequest: only a last day.
    """
    if last is not None and first is None:
        raise InvalidRequest("--to without --from", hint="Give the first day too.")
    end = last or (datetime.now(UTC) if first is not None else None)
    return {"start_date": day_text(first), "end_date": day_text(end)}


def run_async(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a command's coroutine; Ctrl-C cancels it and ends with 130."""
    import asyncio  # a tenth of the time that --help takes

    return asyncio.run(work)


def parse_parameters(texts: list[str] | None) -> dict[str, str]:
    """`name=value` options as a mapping.

    Raises:
        InvalidRequest: a text without a name or an equals sign.
    """
    parameters = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InvalidRequest(f"{text!r} is not name=value")
        parameters[name] = value
    return parameters
