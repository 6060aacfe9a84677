"""The providers there are. A new one is a package and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from starlette.routing import Route

from convergence.simulator.anthropic.routes import AnthropicProvider
from convergence.simulator.cursor.routes import CursorProvider
from convergence.simulator.deepseek.routes import DeepSeekProvider
from convergence.simulator.google_sheets.routes import GoogleSheetsProvider
from convergence.simulator.openai.routes import OpenAIProvider

if TYPE_CHECKING:
    from convergence.simulator.simulator import Simulator


class Provider(Protocol):
    """One vendor's API under one path."""

    @property
    def name(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def scopes(self) -> frozenset[str]: ...

    def routes(self, simulator: Simulator) -> list[Route]: ...

    def failure(self, status: int, message: str, code: str | None, /) -> bytes:
        """The body of an error in the vendor's shape."""
        ...


PROVIDERS: dict[str, Provider] = {
    provider.name: provider
    for provider in (
        OpenAIProvider(),
        AnthropicProvider(),
        CursorProvider(),
        DeepSeekProvider(),
        GoogleSheetsProvider(),
    )
}
