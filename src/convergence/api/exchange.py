"""One request and its answer: what the layers of the application tell one another about it."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

_KEY: Final = "convergence.exchange"


@dataclass(slots=True)
class Exchange:
    """`headers` go out with the answer, whichever it is."""

    request_id: str
    org_slug: str | None = None
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, scope: MutableMapping[str, Any]) -> Exchange:
        found = scope[_KEY]
        assert isinstance(found, Exchange)  # noqa: S101 - the outermost layer put it there
        return found


def attach(scope: MutableMapping[str, Any], exchange: Exchange) -> None:
    """Make it what `Exchange.of` finds."""
    scope[_KEY] = exchange
