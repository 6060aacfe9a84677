"""Where the client connects at all, and what it says about a call."""

from __future__ import annotations

import asyncio

import pytest
import structlog
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from convergence.connectors import HttpPool, bearer
from convergence.connectors.addresses import CheckedBackend
from convergence.errors import ConfigError, InvalidRequest, ProviderRejected, ProviderUnavailable
from convergence.kit.clock import SystemClock
from convergence.telemetry import configure_tracing

from .conftest import SWIFT, Reply, failing

KEY = "sk-admin-CANARY0123456789"
SPELLINGS = ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]", "0.0.0.0"]  # noqa: S104 (an address to refuse)
METADATA = ["169.254.169.254", "2852039166", "0xa9.0xfe.0xa9.0xfe", "[::ffff:169.254.169.254]", "[fe80::1]"]


def open_pool(url: str, *, production: bool) -> HttpPool:
    return HttpPool(base_urls={"openai": url}, clock=SystemClock(), production=production, policy=SWIFT)


@pytest.mark.parametrize("host", SPELLINGS)
async def test_production_never_connects_to_loopback(serve, host):
    canary = await serve([Reply()])
    url = canary.url.replace("http:", "https:").replace("127.0.0.1", host)
    async with open_pool(url, production=True) as pool:
        with pytest.raises((ProviderRejected, ProviderUnavailable)) as caught:
            await pool.client("acme", "openai", bearer(KEY)).get("/costs")
    assert caught.value.code == "address_refused"
    assert canary.seen == []


@pytest.mark.parametrize("host", METADATA)
async def test_metadata_is_never_connected_to(host):
    async with open_pool(f"http://{host}/v1", production=False) as pool:
        with pytest.raises(ProviderRejected) as caught:
            await pool.client("acme", "openai", bearer(KEY)).get("/costs")
    assert caught.value.code == "address_refused"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1"])
async def test_a_laptop_connects_to_loopback(serve, host):
    provider = await serve([Reply()])
    async with open_pool(provider.url.replace("127.0.0.1", host), production=False) as pool:
        assert (await pool.client("acme", "openai", bearer(KEY)).get("/costs")).status == 200


async def test_every_connection_of_a_pool_is_a_checked_one():
    async with open_pool("http://127.0.0.1:1", production=False) as pool:
        transport = pool.http("openai")._transport
        assert isinstance(transport._pool._network_backend, CheckedBackend)


async def test_proxies_of_the_environment_are_not_used():
    async with open_pool("http://127.0.0.1:1", production=False) as pool:
        assert pool.http("openai").trust_env is False


async def test_a_provider_without_a_base_url_is_named():
    async with open_pool("http://127.0.0.1:1", production=False) as pool:
        with pytest.raises(ConfigError, match=r"'acme_ai' \(expected one of openai\)"):
            pool.client("acme", "acme_ai", bearer(KEY))


@pytest.mark.parametrize("value", ["", ".", ".."])
async def test_a_path_value_that_would_climb_is_refused(value):
    async with open_pool("http://127.0.0.1:1", production=False) as pool:
        with pytest.raises(InvalidRequest, match="cannot stand for"):
            await pool.client("acme", "openai", bearer(KEY)).get("/projects/{id}/keys", path_values={"id": value})


async def test_one_log_line_for_each_attempt_and_no_secret_in_any(serve, connect):
    provider = await serve([failing(500, f"boom {KEY}"), Reply()])
    with structlog.testing.capture_logs() as lines:
        caller = connect(provider).client("acme", "openai", bearer(KEY))
        await caller.get("/keys/{id}", [("cursor", "QUERY-CANARY")], path_values={"id": "PATH-CANARY"})
    calls = [line for line in lines if line["event"] == "provider_request"]
    shown = [(line["org"], line["provider"], line["path"], line["status"], line["attempt"]) for line in calls]
    assert shown == [("acme", "openai", "/keys/{id}", 500, 1), ("acme", "openai", "/keys/{id}", 200, 2)]
    assert "CANARY" not in str(lines)
    assert "CANARY" not in repr(caller)


async def test_a_span_for_each_attempt(serve, connect):
    exporter = InMemorySpanExporter()
    shut_down = configure_tracing(service="convergence", version="0.1.0", environment="development", exporter=exporter)
    provider = await serve([failing(503), Reply()])
    await connect(provider).client("acme", "openai", bearer(KEY)).get("/costs", [("q", "QUERY-CANARY")])
    spans = [span for span in exporter.get_finished_spans() if span.name == "provider.request"]
    shut_down()
    shown = [(s.attributes["url.template"], s.attributes["http.response.status_code"]) for s in spans]
    assert shown == [("/costs", 503), ("/costs", 200)]
    assert "CANARY" not in str([(dict(span.attributes), span.events) for span in spans])


async def test_one_organization_has_at_most_two_requests_out(serve, connect):
    provider = await serve([Reply(body=b" " * 100, pause=0.02)])
    pool = connect(provider)
    tasks = [asyncio.create_task(pool.client("acme", "openai", bearer(KEY)).get("/costs")) for _ in range(6)]
    await asyncio.sleep(1)
    out = len(provider.seen)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert out == 2
