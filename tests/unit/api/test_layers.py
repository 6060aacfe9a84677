from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from convergence.api.layers import ExchangeLayer


class Breaks(RuntimeError):
    pass


async def _broken(scope: Any, _receive: Any, _send: Any) -> None:
    raise Breaks(f"sk-canary-0123456789 in {scope['path']}")


async def _broken_midway(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise Breaks("midway")


async def _get(app: Any, **headers: str) -> httpx2.Response:
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://api.test", trust_env=False) as client:
        return await client.get("/somewhere", headers=headers)


async def test_what_nobody_foresaw_is_a_500_that_tells_nothing() -> None:
    answer = await _get(ExchangeLayer(_broken), **{"X-Request-ID": "abc"})

    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert json.loads(answer.text) == {
        "type": "urn:convergence:problem:internal",
        "title": "Internal Server Error",
        "status": 500,
        "code": "internal",
        "detail": "something went wrong here",
        "request_id": "abc",
        "hint": "The request_id finds the reason in the server's log.",
    }
    assert answer.headers["X-Request-ID"] == "abc"


async def test_an_answer_under_way_is_not_followed_by_another() -> None:
    with pytest.raises(Breaks):
        await _get(ExchangeLayer(_broken_midway))


async def test_production_asks_for_tls() -> None:
    plain, production = [await _get(ExchangeLayer(_broken, is_production=one)) for one in (False, True)]

    assert "Strict-Transport-Security" not in plain.headers
    assert production.headers["Strict-Transport-Security"].startswith("max-age=")
