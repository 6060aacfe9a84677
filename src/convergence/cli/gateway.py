"""One client for every command: the API of a running server, or the same API embedded in this process."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from convergence.cli.failures import ProblemAnswer
from convergence.errors import InvalidRequest, ProviderUnavailable

if TYPE_CHECKING:
    import httpx2

    from convergence.bootstrap import Platform
    from convergence.settings import Settings

PREFIX: Final = "/api/v1"
Params = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Gateway:
    """Calls the API. `platform` is there when it is embedded."""

    client: httpx2.AsyncClient
    operator_key: str | None = None
    platform: Platform | None = None

    async def call(
        self,
        method: str,
        path: str,
        *,
        org: str | None = None,
        body: Mapping[str, Any] | None = None,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The JSON of a 2xx answer. `org` is whose key to use; None is the root key.

        Raises:
            ProblemAnswer: the API refuses, with its reason.
            ProviderUnavailable: no server answers there.
        """
        answer = await self._send(method, path, org, body, params, headers)
        return answer.json() if answer.content else None

    async def download(self, path: str, *, org: str, body: Mapping[str, Any]) -> bytes:
        """The raw bytes of a 2xx answer to a POST."""
        return (await self._send("POST", path, org, body, None, None)).content

    async def save(self, path: str, file: Path, *, org: str, params: Params) -> None:
        """Write the body of a 2xx answer to a file as it comes; what was there stays when none comes whole."""
        query = {name: value for name, value in params.items() if value is not None}
        part = file.with_name(f"{file.name}.part")
        try:
            async with self.client.stream("GET", PREFIX + path, params=query, headers=self._keys(org)) as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise _problem(answer)
                with part.open("wb") as target:
                    async for piece in answer.aiter_bytes():
                        target.write(piece)
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)

    async def upload(self, path: str, file: Path, *, org: str, fields: Mapping[str, str]) -> Any:
        """The JSON of a 2xx answer to a form with a file, which is sent as it is read."""
        with file.open("rb") as content:
            form = {"files": {"file": (file.name, content)}, "data": dict(fields), "timeout": None}
            return (await self._send("POST", path, org, None, None, None, **form)).json()

    async def _send(
        self,
        method: str,
        path: str,
        org: str | None,
        body: Mapping[str, Any] | None,
        params: Params | None,
        headers: Mapping[str, str] | None,
        **form: Any,
    ) -> httpx2.Response:
        import httpx2

        query = {name: value for name, value in (params or {}).items() if value is not None}
        try:
            answer = await self.client.request(
                method, PREFIX + path, json=body, params=query, headers={**self._keys(org), **(headers or {})}, **form
            )
        except httpx2.TransportError as error:
            raise ProviderUnavailable(
                f"no answer from {self.client.base_url}: {error}", hint="Is the server running? convergence serve"
            ) from error
        if answer.is_success:
            return answer
        raise _problem(answer)

    def _keys(self, org: str | None) -> dict[str, str]:
        if self.operator_key is not None:
            return {"X-Operator-Key": self.operator_key, "X-Operator-Org": org or ""}
        if org is None:
            return {"X-CA-Root-Key": _environment("CA_ROOT_API_KEY", "the root key")}
        return {"X-API-Key": _environment("CONVERGENCE_API_KEY", "the organization's API key")}


@asynccontextmanager
async def open_gateway(server: str | None, *, work: bool = False) -> AsyncIterator[Gateway]:
    """The API at `server`, or embedded over the local data folder.

    Raises:
        WarehouseBusy: another process holds the local data folder.
    """
    import httpx2

    if server:
        async with httpx2.AsyncClient(base_url=server.rstrip("/"), timeout=120, trust_env=False) as client:
            yield Gateway(client)
        return
    settings = open_settings()
    async with open_embedded(settings, work=work) as gateway:
        yield gateway


@asynccontextmanager
async def open_embedded(settings: Settings, *, work: bool = False) -> AsyncIterator[Gateway]:
    """The API in this process, without a port; only this process knows the operator key."""
    import httpx2

    from convergence.api.app import create_app

    operator_key = secrets.token_urlsafe(32)
    app = create_app(settings, work=work, schedule=False, operator_key=operator_key)
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://embedded", timeout=None) as client:
            yield Gateway(client, operator_key, app.state.platform)


def open_settings() -> Settings:
    """Settings of the environment, with logging set up for a terminal: warnings and worse."""
    from convergence.bootstrap import read_secrets
    from convergence.settings import load_settings
    from convergence.telemetry import configure_logging

    settings = read_secrets(load_settings())
    configure_logging(os.environ.get("LOG_LEVEL", "ERROR"), json=False)
    return settings


def _environment(name: str, what: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise InvalidRequest(
            f"{name} is not set: it holds {what}", hint=f"export {name}=... (never on the command line)"
        )
    return value


def _problem(answer: httpx2.Response) -> ProblemAnswer:
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    return ProblemAnswer(
        problem.get("detail") or f"HTTP {answer.status_code}",
        status=answer.status_code,
        code=problem.get("code", "http_error"),
        hint=problem.get("hint"),
        errors=[_error_text(item) for item in problem.get("errors", [])],
    )


def _error_text(item: Any) -> str:
    if not isinstance(item, Mapping):
        return str(item)
    place = item.get("pointer") or item.get("location") or item.get("field") or item.get("key") or ""
    text = item.get("message") or item.get("detail") or item.get("msg") or ""
    return f"{place}: {text}" if place else str(text)
