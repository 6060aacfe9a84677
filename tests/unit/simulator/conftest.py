from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import httpx2
import pytest

from convergence.kit import jsontext
from convergence.kit.clock import ManualClock
from convergence.simulator import OpenAIWorld, Simulator, create_simulator_app

KEY = "sk-admin-test-0123456789"
END_DAY = date(2026, 11, 20)
START = int(datetime(2026, 10, 21, tzinfo=UTC).timestamp())
END = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp())


class Api:
    """Asks a simulator over ASGI, without a socket."""

    start = START
    end = END

    def __init__(self, simulator: Simulator, key: str = KEY) -> None:
        self.simulator = simulator
        self._app = create_simulator_app(simulator)
        self._key = key

    def get(self, path: str, params: Any = None, *, key: str | None = None, headers: Any = None) -> httpx2.Response:
        authorization = {"authorization": f"Bearer {key or self._key}"} if headers is None else headers
        return asyncio.run(self._send("GET", f"/openai/v1/organization/{path}", params, authorization))

    def send(self, method: str, path: str) -> httpx2.Response:
        headers = {"authorization": f"Bearer {self._key}"}
        return asyncio.run(self._send(method, f"/openai/v1/organization/{path}", None, headers))

    def control(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        return asyncio.run(self._send(method, f"/_simulator/{path}", None, {}, body))

    def pages(self, path: str, params: Any = ()) -> Iterator[dict[str, Any]]:
        """Every page of a report over the whole world."""
        asked = [("start_time", START), ("end_time", END), *params]
        page: list[tuple[str, str]] = []
        while True:
            response = self.get(path, [*asked, *page])
            assert response.status_code == 200, response.text
            found = jsontext.loads(response.content)
            yield found
            if not found["has_more"]:
                return
            page = [("page", found["next_page"])]

    def buckets(self, path: str, params: Any = ()) -> list[dict[str, Any]]:
        return [bucket for page in self.pages(path, params) for bucket in page["data"]]

    def rows(self, path: str, params: Any = ()) -> list[dict[str, Any]]:
        return [row for bucket in self.buckets(path, params) for row in bucket["results"]]

    async def _send(self, method: str, path: str, params: Any, headers: Any, body: Any = None) -> httpx2.Response:
        transport = httpx2.ASGITransport(app=self._app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://simulator") as client:
            return await client.request(method, path, params=params, headers=headers, json=body)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 20, 12, tzinfo=UTC))


@pytest.fixture
def world() -> OpenAIWorld:
    return OpenAIWorld(7, end_day=END_DAY, days=30, rows_per_day=40)


@pytest.fixture
def api(world: OpenAIWorld, clock: ManualClock) -> Api:
    simulator = Simulator(clock=clock)
    simulator.add_account(KEY, world)
    return Api(simulator)
