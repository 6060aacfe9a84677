"""Reports read once by the simulator itself, so that their buckets lie ready."""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec
from starlette.types import Message, Scope

from convergence.kit.window import Window, midnight
from convergence.simulator.server import create_simulator_app
from convergence.simulator.simulator import Simulator


class _Page(msgspec.Struct):
    next_page: str | None = None


async def prerender(simulator: Simulator, key: str, report: str, window: Window) -> int:
    """Read every day of an OpenAI report such as `usage/completions?group_by=model`; return the bytes.

    Raises:
        ValueError: the simulator refuses the report.
    """
    path, _, query = report.partition("?")
    start, end = (int(midnight(day).timestamp()) for day in (window.start, window.end))
    read, cursor = 0, ""
    while True:
        asked = urlencode({"start_time": start, "end_time": end, "limit": 1} | ({"page": cursor} if cursor else {}))
        status, body = await _get(simulator, key, f"/openai/v1/organization/{path}", f"{query}&{asked}".lstrip("&"))
        if status != 200:
            raise ValueError(f"cannot prerender {report!r}: {body.decode()}")
        read += len(body)
        cursor = msgspec.json.decode(body, type=_Page).next_page or ""
        if not cursor:
            return read


async def _get(simulator: Simulator, key: str, path: str, query: str) -> tuple[int, bytes]:
    scope: Scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"authorization", f"Bearer {key}".encode())],
    }
    statuses: list[int] = []
    body = bytearray()

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])
        body.extend(message.get("body", b""))

    await create_simulator_app(simulator)(scope, receive, send)
    return statuses[0], bytes(body)
