"""Sizes, rates, origins, ids and headers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .conftest import ROOT, Api, open_api


async def _within_a_minute(seconds: float) -> None:
    """Windows slide over whole minutes: wait where the next one begins within `seconds`."""
    left = 60 - time.time() % 60
    if left < seconds:
        await asyncio.sleep(left)


LIMITED = {"RATE_LIMIT_ENABLED": "true", "RATE_LIMIT_REQUESTS_PER_MINUTE": "5"}


async def test_more_requests_a_minute_than_allowed_are_429(folder: Path) -> None:
    async with open_api(folder, **LIMITED) as api:
        key, rival = await api.onboard("acme"), await api.onboard("rival")
        await _within_a_minute(3)
        answers = [await api.send("GET", "/pipelines", key) for _ in range(7)]
        other = await api.send("GET", "/pipelines", rival)

    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
    assert [answer.headers["RateLimit-Remaining"] for answer in answers[:5]] == ["4", "3", "2", "1", "0"]
    assert (answers[6].json()["code"], answers[6].headers["RateLimit-Limit"]) == ("rate_limited", "5")
    assert int(answers[6].headers["Retry-After"]) >= 1
    assert other.status_code == 200


async def test_more_requests_an_hour_than_allowed_are_429(folder: Path) -> None:
    async with open_api(folder, RATE_LIMIT_ENABLED="true", RATE_LIMIT_REQUESTS_PER_HOUR="3") as api:
        key = await api.onboard("acme")
        answers = [await api.send("GET", "/pipelines", key) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200] * 3 + [429]


async def test_guessing_keys_is_slowed_down_and_health_is_not(folder: Path) -> None:
    async with open_api(folder, RATE_LIMIT_ENABLED="true") as api:
        await _within_a_minute(20)
        answers = [await api.send("GET", "/pipelines", f"acme_api_{number}") for number in range(602)]
        nothing = await api.send("GET", "/pipelines")
        root = await api.send("POST", "/scheduler/tick", headers={"X-CA-Root-Key": "guess"})
        health = await api.client.get("/health")

    assert [answer.status_code for answer in answers] == [401] * 600 + [429] * 2
    assert (nothing.status_code, root.status_code, health.status_code) == (401, 429, 200)


async def test_a_flood_from_one_address_is_stopped_before_its_key_is_looked_at(folder: Path) -> None:
    async with open_api(folder, RATE_LIMIT_ENABLED="true") as api:
        await _within_a_minute(20)
        codes = [(await api.send("GET", "/pipelines")).status_code for _ in range(1001)]

    assert (codes[:1000], codes[1000]) == ([401] * 1000, 429)


@pytest.fixture
async def small(folder: Path) -> AsyncIterator[Api]:
    async with open_api(folder, MAX_REQUEST_SIZE_BYTES="1000", MAX_HEADER_SIZE_BYTES="1000") as api:
        yield api


async def _chunks(count: int) -> AsyncIterator[bytes]:
    yield b'{"sql": "'
    for _ in range(count):
        yield b"x" * 100
    yield b'"}'


async def test_a_body_above_the_cap_is_413_declared_or_chunked(small: Api) -> None:
    key = await small.onboard("acme")
    headers = {"Content-Type": "application/json"}
    declared = await small.send("POST", "/query/acme", key, json={"sql": "x" * 1000})
    chunked = await small.send("POST", "/query/acme", key, content=_chunks(10), headers=headers)
    bodiless = await small.send("POST", "/integrations/acme/openai/validate", key, content=_chunks(10), headers=headers)
    anonymous = await small.send("POST", "/query/acme", json={"sql": "x" * 1000})

    assert [answer.status_code for answer in (declared, chunked, bodiless, anonymous)] == [413, 413, 413, 401]
    assert (declared.json()["code"], declared.headers["content-type"]) == ("too_large", "application/problem+json")


async def test_a_body_at_the_cap_is_taken(small: Api) -> None:
    key = await small.onboard("acme")
    content = b'{"sql": "SELECT 1"}'.ljust(1000)
    answers = [
        await small.send("POST", "/query/acme", key, content=one, headers={"Content-Type": "application/json"})
        for one in (content, content + b" ")
    ]

    assert [answer.status_code for answer in answers] == [200, 413]


async def test_headers_above_the_cap_are_431_on_every_path(small: Api) -> None:
    answers = [
        await small.client.get(path, headers={"X-Padding": "x" * 1000})
        for path in ("/health", "/api/v1/pipelines", "/no")
    ]

    assert [answer.status_code for answer in answers] == [431] * 3
    assert answers[0].json()["code"] == "headers_too_large"
    assert answers[0].headers["X-Request-ID"] == answers[0].json()["request_id"]


@pytest.mark.parametrize("given", ["abc-123_x.y", "a" * 128])
async def test_a_sane_request_id_is_echoed(api: Api, given: str) -> None:
    answers = [
        await api.client.get(path, headers={"X-Request-ID": given}) for path in ("/health", "/no", "/api/v1/pipelines")
    ]

    assert {answer.headers["X-Request-ID"] for answer in answers} == {given}
    assert answers[1].json()["request_id"] == answers[2].json()["request_id"] == given


@pytest.mark.parametrize("given", ["", "a" * 129, "a b", "a\tb", "<script>", "é", "a;b", 'a"b'])
async def test_any_other_request_id_is_replaced(api: Api, given: str) -> None:
    answer = await api.client.get("/health", headers=[(b"X-Request-ID", given.encode())])

    assert answer.headers["X-Request-ID"] not in {given, ""}


async def test_every_answer_has_the_security_headers(api: Api) -> None:
    answers = [await api.client.get(path) for path in ("/health", "/no", "/api/v1/pipelines")]

    for answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "server" not in answer.headers


async def test_only_the_origins_of_the_settings_may_read(folder: Path) -> None:
    async with open_api(folder, CORS_ORIGINS='["https://app.example"]') as api:
        asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "X-API-Key"}
        preflights = [
            await api.client.options("/api/v1/costs/acme", headers={"Origin": origin, **asked})
            for origin in ("https://app.example", "https://evil.example")
        ]
        answer = await api.client.get("/api/v1/costs/acme", headers={"Origin": "https://app.example"})

    assert [one.headers.get("access-control-allow-origin") for one in preflights] == ["https://app.example", None]
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "X-Request-ID" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in answer.headers


async def test_without_origins_there_is_no_cors(api: Api) -> None:
    answer = await api.client.get("/health", headers={"Origin": "https://app.example"})

    assert "access-control-allow-origin" not in answer.headers


async def test_a_log_line_names_the_route_and_nothing_that_was_sent(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    key = await api.onboard("acme")
    await api.client.get(
        "/api/v1/costs/acme?group_by=canary-query", headers={"X-API-Key": key, "X-Other": "canary-header"}
    )

    lines = [line for line in capsys.readouterr().out.splitlines() if "/api/v1/costs/{org}" in line]
    assert len(lines) == 1
    assert "canary" not in lines[0]
    assert key not in lines[0]
    assert "status=422" in lines[0]
    assert "org_slug=acme" in lines[0]


async def test_metrics_count_by_route_template(api: Api) -> None:
    key = await api.onboard("acme")
    await api.send("GET", "/organizations/acme", key)
    text = (await api.client.get("/metrics")).text

    assert 'route="/api/v1/organizations/{org}",status="200"' in text
    assert "acme" not in text


async def test_disable_auth_opens_development(folder: Path) -> None:
    async with open_api(folder) as api:
        await api.onboard("acme")
    async with open_api(folder, DISABLE_AUTH="true", DEFAULT_TENANT_ID="acme") as api:
        answers = [
            await api.send("GET", "/costs/acme"),
            await api.send("GET", "/pipelines/runs"),
            await api.send("POST", "/scheduler/tick"),
            await api.send("GET", "/costs/nobody"),
            await api.send("GET", "/costs/acme", "a-wrong-key"),
        ]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 404, 401]


async def test_disable_auth_without_a_default_organization(folder: Path) -> None:
    async with open_api(folder, DISABLE_AUTH="true") as api:
        answer = await api.send("GET", "/pipelines/runs")

    assert answer.status_code == 401
    assert "DEFAULT_TENANT_ID" in answer.json()["hint"]


async def test_without_a_root_key_no_root_key_fits(folder: Path) -> None:
    async with open_api(folder, CA_ROOT_API_KEY="") as api:
        answers = [
            await api.send("POST", "/scheduler/tick", headers=headers) for headers in ({}, ROOT, {"X-CA-Root-Key": ""})
        ]

    assert [answer.status_code for answer in answers] == [401] * 3
