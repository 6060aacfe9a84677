"""What a provider can do wrong on the wire, the number of calls it costs, and what the caller is told."""

from __future__ import annotations

import asyncio
import json
import sys
import tracemalloc
import weakref
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from convergence.connectors import CursorToken, HttpPool, PageNumber, bearer
from convergence.errors import ProviderMisbehaved, ProviderRejected, ProviderUnavailable, TooLarge

from .conftest import Reply, failing, gzipped, page

KEY = "sk-admin-CANARY0123456789"
OK = Reply()


def client(pool: HttpPool, org: str = "acme"):
    return pool.client(org, "openai", bearer(KEY))


async def test_a_good_page_costs_one_call(serve, connect):
    provider = await serve([Reply(body=page([1], has_more=False))])
    got = await client(connect(provider)).get("/organization/costs", [("limit", "1"), ("group_by", "a")])
    assert (got.status, got.number, dict(got.envelope)) == (200, 1, {"data": [1], "has_more": False})
    assert provider.seen[0].target == "/v1/organization/costs?limit=1&group_by=a"
    assert provider.seen[0].headers["authorization"] == f"Bearer {KEY}"


async def test_path_values_are_quoted_into_one_segment(serve, connect):
    provider = await serve([OK])
    await client(connect(provider)).get("/projects/{id}/keys", path_values={"id": "a/../b?c"})
    assert provider.seen[0].target == "/v1/projects/a%2F..%2Fb%3Fc/keys"


async def test_a_query_sent_as_a_body_is_read_like_a_page(serve, connect):
    provider = await serve([Reply(body=page([2], has_more=False))])
    got = await client(connect(provider)).post("/events", {"page": 1})
    assert got.envelope["data"] == [2]
    assert provider.seen[0].headers["content-type"] == "application/json"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 529])
async def test_a_passing_fault_is_tried_again(serve, connect, status):
    provider = await serve([failing(status), failing(status), OK])
    got = await client(connect(provider)).get("/costs")
    assert (got.status, len(provider.seen)) == (200, 3)


@pytest.mark.parametrize(
    "broken",
    [
        Reply(reset=True),
        Reply(body=b'{"data": [1, 2, 3]}', cut=9),
        Reply(body=b'{"data": [1, 2'),
        Reply(body=b'{"data": []}', length=400, cut=12),
        Reply(body=gzipped(b'{"data": []}').body[:-6], headers={"Content-Encoding": "gzip"}),
        Reply(body=b"not gzip at all", headers={"Content-Encoding": "gzip"}),
        Reply(body=b"<html>log in</html>", headers={"Content-Type": "text/html"}),
    ],
    ids=["reset", "cut_short", "json_cut", "length_too_big", "gzip_cut", "gzip_bad", "html_once"],
)
async def test_a_broken_body_is_fetched_again(serve, connect, broken):
    provider = await serve([broken, OK])
    got = await client(connect(provider)).get("/costs")
    assert (got.body, len(provider.seen)) == (OK.body, 2)


async def test_a_length_that_is_too_small_costs_the_connection_as_well(serve, connect):
    provider = await serve([Reply(body=b'{"data": [1, 2, 3]}', length=9), OK])
    got = await client(connect(provider)).get("/costs")
    assert got.body == OK.body
    assert len(provider.seen) <= 3


async def test_a_page_that_stays_html_ends_after_two_calls(serve, connect):
    provider = await serve([Reply(body=b"<html>", headers={"Content-Type": "text/html"})])
    with pytest.raises(ProviderMisbehaved, match="text/html") as caught:
        await client(connect(provider)).get("/costs")
    assert (caught.value.code, len(provider.seen)) == ("content_type_unexpected", 2)


async def test_six_attempts_and_no_more(serve, connect):
    provider = await serve([failing(503)])
    with pytest.raises(ProviderUnavailable, match="openai answers 503: try later"):
        await client(connect(provider, breaker_failures=99)).get("/costs")
    assert len(provider.seen) == 6


@pytest.mark.parametrize(
    ("headers", "seconds"), [({"retry_after": "1"}, 1.0), ({"retry_after_ms": "300"}, 0.3)], ids=["seconds", "ms"]
)
@pytest.mark.parametrize("status", [429, 503])
async def test_no_request_comes_before_retry_after(serve, connect, headers, seconds, status):
    provider = await serve([failing(status, **headers), OK])
    await client(connect(provider)).get("/costs")
    first, second = provider.seen
    assert second.at - first.at >= seconds


async def test_no_request_comes_before_a_retry_after_date(serve, connect):
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    provider = await serve([failing(429, retry_after=format_datetime(soon, usegmt=True)), OK])
    await client(connect(provider)).get("/costs")
    assert datetime.now(UTC) >= soon
    assert len(provider.seen) == 2


async def test_other_requests_of_the_same_key_wait_as_well(serve, connect):
    provider = await serve([failing(429, retry_after="1"), OK])
    caller = client(connect(provider))
    first = asyncio.create_task(caller.get("/costs"))
    await asyncio.sleep(0.5)
    await asyncio.gather(first, caller.get("/users"), caller.get("/projects"))
    assert min(seen.at for seen in provider.seen[1:]) - provider.seen[0].at >= 1.0


async def test_a_retry_after_behind_the_deadline_returns_at_once(serve, connect):
    provider = await serve([failing(429, retry_after="999")])
    with pytest.raises(ProviderUnavailable) as caught:
        await asyncio.wait_for(client(connect(provider)).get("/costs"), 20)
    assert (caught.value.retry_after, len(provider.seen)) == (999.0, 1)


async def test_the_pause_that_a_provider_asked_for_is_kept_by_the_next_call(serve, connect):
    provider = await serve([failing(429, retry_after="999"), OK])
    caller = client(connect(provider))
    with pytest.raises(ProviderUnavailable):
        await caller.get("/costs")
    with pytest.raises(ProviderUnavailable, match="wants no request") as caught:
        await caller.get("/costs")
    assert len(provider.seen) == 1
    assert 990 < caught.value.retry_after <= 999


async def test_an_exhausted_quota_is_terminal_after_two_calls(serve, connect):
    body = b'{"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}'
    provider = await serve([Reply(429, body)])
    with pytest.raises(ProviderRejected, match="exceeded your quota") as caught:
        await client(connect(provider)).get("/costs")
    assert (caught.value.code, caught.value.status, len(provider.seen)) == ("provider_quota_exhausted", 429, 2)


@pytest.mark.parametrize(
    ("status", "code"), [(401, "credential_invalid"), (403, "credential_scope"), (404, "provider_rejected")]
)
async def test_a_refusal_is_not_tried_again(serve, connect, status, code):
    provider = await serve([failing(status, f"no good: {KEY}")])
    with pytest.raises(ProviderRejected) as caught:
        await client(connect(provider)).get("/costs")
    assert (caught.value.code, caught.value.status, len(provider.seen)) == (code, status, 1)
    assert "no good" in str(caught.value)
    assert "CANARY" not in f"{caught.value} {caught.value.fields}"


async def test_a_refused_parameter_is_named(serve, connect):
    error = {"message": "Invalid value", "type": "invalid_request_error", "param": "group_by", "code": "bad"}
    provider = await serve([Reply(400, json.dumps({"error": error}).encode())])
    with pytest.raises(ProviderRejected) as caught:
        await client(connect(provider)).get("/costs")
    assert caught.value.fields == {"status": 400, **error}


async def test_a_redirect_is_never_followed(serve, connect):
    canary = await serve([OK])
    provider = await serve([Reply(302, b"", {"Location": canary.url})])
    with pytest.raises(ProviderRejected) as caught:
        await client(connect(provider)).get("/costs")
    assert (caught.value.code, len(provider.seen), canary.seen) == ("redirect_refused", 1, [])


async def test_a_redirect_to_the_metadata_address_is_never_followed(serve, connect):
    provider = await serve([Reply(302, b"", {"Location": "http://169.254.169.254/latest/meta-data/"})])
    with pytest.raises(ProviderRejected, match="never followed"):
        await client(connect(provider)).get("/costs")


async def test_a_gzip_bomb_is_stopped_at_the_cap(serve, connect):
    provider = await serve([gzipped(b"0" * (64 << 20))])
    caller = client(connect(provider, max_body_bytes=1 << 20))
    tracemalloc.start()
    with pytest.raises(TooLarge) as caught:
        await caller.get("/costs")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (caught.value.code, len(provider.seen)) == ("page_too_large", 1)
    assert peak < 8 << 20


async def test_a_page_above_the_cap_is_refused_while_it_streams(serve, connect):
    provider = await serve([Reply(body=b"1" * 5_000)])
    with pytest.raises(TooLarge, match="larger than 1000 bytes"):
        await client(connect(provider, max_body_bytes=1_000)).get("/costs")


async def test_a_page_that_is_refused_half_read_leaves_no_stream_to_the_garbage_collector(serve, connect):
    provider = await serve([Reply(body=b"1" * 500_000)])
    begun, hooks = [], sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter=lambda stream: begun.append(weakref.ref(stream)))
    try:
        with pytest.raises(TooLarge) as refused:
            await client(connect(provider, max_body_bytes=1_000)).get("/costs")
        await asyncio.sleep(0.1)
    finally:
        sys.set_asyncgen_hooks(*hooks)
    left = [stream for one in begun if (stream := one()) is not None and stream.ag_frame is not None]
    assert refused.value.__traceback__ is not None  # which holds the frames, and what is open in them
    assert begun
    assert [stream.__qualname__ for stream in left] == []


async def test_a_compressed_page_is_read(serve, connect):
    provider = await serve([gzipped(page(["x"], has_more=False))])
    got = await client(connect(provider)).get("/costs")
    assert got.envelope["data"] == ["x"]


async def test_an_encoding_nobody_asked_for_is_refused(serve, connect):
    provider = await serve([Reply(headers={"Content-Encoding": "gzip, gzip"})])
    with pytest.raises(ProviderMisbehaved, match="content encoding"):
        await client(connect(provider)).get("/costs")


async def test_a_body_that_drips_ends_with_the_deadline(serve, connect):
    provider = await serve([Reply(body=b" " * 1_000, pause=0.05)])
    with pytest.raises(ProviderUnavailable) as caught:
        await asyncio.wait_for(client(connect(provider, deadline=0.5)).get("/costs"), 20)
    assert caught.value.code == "provider_timeout"


async def test_nobody_listening_is_unavailable(serve, connect):
    provider = await serve([OK])
    provider.url = "http://127.0.0.1:1/v1"
    with pytest.raises(ProviderUnavailable) as caught:
        await client(connect(provider)).get("/costs")
    assert caught.value.code == "provider_unreachable"


async def test_an_outage_costs_five_calls_and_another_organization_none(serve, connect):
    provider = await serve([failing(503)])
    pool = connect(provider)
    results = [await _outcome(client(pool)) for _ in range(12)]
    assert (set(results[1:]), len(provider.seen)) == ({"breaker_open"}, 5)
    provider.script = [OK]
    assert await _outcome(client(pool, "other_org")) == "ok"


async def test_an_open_breaker_lets_one_probe_through_and_closes(serve, connect):
    provider = await serve([failing(503)])
    pool = connect(provider, breaker_open=0.3)
    await _outcome(client(pool))
    provider.script = [Reply(pause=0.01)]
    await asyncio.sleep(0.35)
    outcomes = await asyncio.gather(*(_outcome(client(pool)) for _ in range(2)))
    assert sorted(outcomes) == ["breaker_open", "ok"]
    assert await _outcome(client(pool)) == "ok"


async def test_a_refused_key_is_asked_five_times_and_the_answer_stays_the_same(serve, connect):
    provider = await serve([failing(401, "Incorrect API key")])
    pool = connect(provider)
    outcomes = [await _outcome(client(pool)) for _ in range(8)]
    assert (outcomes, len(provider.seen)) == (["credential_invalid"] * 8, 5)


async def test_a_new_key_of_the_same_organization_starts_afresh(serve, connect):
    provider = await serve([failing(401)])
    pool = connect(provider)
    for _ in range(6):
        await _outcome(client(pool))
    provider.script = [OK]
    got = await pool.client("acme", "openai", bearer("sk-admin-another-key")).get("/costs")
    assert got.status == 200


async def test_retries_stop_when_their_budget_is_spent(serve, connect):
    provider = await serve([failing(500)])
    pool = connect(provider, breaker_failures=99, budget_capacity=2.0, budget_refund=0.0)
    await _outcome(client(pool))
    await _outcome(client(pool))
    assert len(provider.seen) == 3 + 1


async def test_a_pace_spaces_requests_out(serve, connect):
    provider = await serve([OK])
    caller = connect(provider).client("acme", "openai", bearer(KEY), requests_per_second=10)
    await caller.get("/costs")
    await asyncio.gather(*(caller.get("/costs") for _ in range(4)))
    assert provider.seen[-1].at - provider.seen[1].at > 0.25


async def test_an_endless_cursor_is_recognized(serve, connect):
    provider = await serve([Reply(body=page([1], has_more=True, next_page="p1"))])
    with pytest.raises(ProviderMisbehaved) as caught:
        await _read_all(connect(provider))
    assert (caught.value.code, len(provider.seen)) == ("pagination_loop", 2)


async def test_cursors_that_lead_in_a_circle_are_recognized(serve, connect):
    circle = [Reply(body=page([n], has_more=True, next_page=f"p{n % 2}")) for n in range(6)]
    provider = await serve(circle)
    with pytest.raises(ProviderMisbehaved, match="fetched before") as caught:
        await _read_all(connect(provider))
    assert (caught.value.code, len(provider.seen)) == ("pagination_loop", 3)


async def test_the_same_page_under_new_requests_is_recognized(serve, connect):
    provider = await serve([Reply(body=page([1]))])
    pages = client(connect(provider)).pages("/users", [], PageNumber(), stream="users")
    with pytest.raises(ProviderMisbehaved, match="same page came twice"):
        _ = [got async for got in pages]
    assert len(provider.seen) == 2


async def test_more_pages_than_allowed_are_refused(serve, connect):
    provider = await serve([Reply(body=page([n], has_more=True, next_page=f"p{n}")) for n in range(9)])
    with pytest.raises(ProviderMisbehaved, match="more than 4 pages"):
        await _read_all(connect(provider), max_pages=4)
    assert len(provider.seen) == 4


async def test_every_page_is_read_in_order(serve, connect):
    script = [
        page([1], has_more=True, next_page="a"),
        page([2], has_more=True, next_page="b"),
        page([3], has_more=False),
    ]
    provider = await serve([Reply(body=body) for body in script])
    got = await _read_all(connect(provider))
    assert [(one.number, one.envelope["data"]) for one in got] == [(1, [1]), (2, [2]), (3, [3])]
    assert [seen.target for seen in provider.seen] == ["/v1/costs?x=1", "/v1/costs?x=1&page=a", "/v1/costs?x=1&page=b"]


async def test_a_cancelled_call_leaves_the_client_usable(serve, connect):
    provider = await serve([OK, Reply(body=b" " * 500, pause=0.05), OK])
    caller = client(connect(provider))
    await caller.get("/costs")
    task = asyncio.create_task(caller.get("/costs"))
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await caller.get("/costs")).status == 200


async def _read_all(pool: HttpPool, **options):
    pages = client(pool).pages("/costs", [("x", "1")], CursorToken(), stream="openai.costs", **options)
    return [got async for got in pages]


async def _outcome(caller) -> str:
    try:
        await caller.get("/costs")
    except (ProviderUnavailable, ProviderRejected) as error:
        return error.code
    return "ok"


async def test_an_outage_that_others_met_costs_no_further_call(serve, connect):
    provider = await serve([failing(503)])
    pool = connect(provider, attempts=1, outage_calls=6)
    for number in range(6):
        with pytest.raises(ProviderUnavailable):
            await client(pool, f"org{number}").get("/costs")
    with pytest.raises(ProviderUnavailable) as caught:
        await client(pool, "another").get("/costs")
    assert (caught.value.code, len(provider.seen)) == ("provider_outage", 6)
    assert 0 < caught.value.retry_after <= 15


@pytest.mark.parametrize("status", [401, 403, 429, 404])
async def test_what_is_said_to_one_organization_is_no_outage(serve, connect, status):
    provider = await serve([failing(status)] * 6 + [OK])
    pool = connect(provider, attempts=1, outage_calls=6)
    for number in range(6):
        with pytest.raises((ProviderRejected, ProviderUnavailable)):
            await client(pool, f"org{number}").get("/costs")
    assert (await client(pool, "another").get("/costs")).status == 200
