"""Statuses, Retry-After and error bodies, as plain data."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from convergence.connectors.verdicts import judge_content, judge_status, read_reason, read_retry_after
from convergence.errors import ProviderRejected, ProviderUnavailable

FULL = {"message": "m", "type": "t", "param": "p", "code": "c"}
NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def judge(status: int, headers: dict[str, str] | None = None, body: bytes = b"{}"):
    return judge_status("openai", status, headers or {}, body, now=NOW, hide=lambda text: text)


@pytest.mark.parametrize("status", [200, 201, 206])
def test_success_is_no_error(status):
    assert judge(status) is None


@pytest.mark.parametrize("status", [408, 425, 429, 500, 501, 502, 503, 504, 520, 529])
def test_what_later_may_cure(status):
    assert isinstance(judge(status), ProviderUnavailable)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (301, "redirect_refused"),
        (304, "redirect_refused"),
        (400, "provider_rejected"),
        (401, "credential_invalid"),
        (403, "credential_scope"),
        (404, "provider_rejected"),
        (409, "provider_rejected"),
        (422, "provider_rejected"),
    ],
)
def test_what_later_cannot_cure(status, code):
    error = judge(status)
    assert (type(error), error.code, error.status) == (ProviderRejected, code, status)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "Thu, 01 Jan 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Thu, 01 Jan 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "Thu, 01 Jan 2026 15:00:30 GMT", "date": "Thu, 01 Jan 2026 15:00:00 GMT"}, 30.0),
        ({"retry-after": "999999999"}, 86_400.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "later"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_retry_after(headers, seconds):
    assert read_retry_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"error": FULL}, FULL),
        ({"type": "error", "error": {"type": "t", "message": "m"}}, {"message": "m", "type": "t"}),
        ({"error": {"code": 403, "message": "m", "status": "DENIED"}}, {"message": "m", "code": "403"}),
        ({"error": "unauthorized", "message": "m"}, {"message": "m", "code": "unauthorized"}),
        ({"error": "unauthorized"}, {"message": "unauthorized", "code": "unauthorized"}),
        ({"message": "m"}, {"message": "m"}),
        ({"error": {"message": {"deep": 1}, "param": None}}, {}),
        (["a list"], {}),
        ("text", {}),
    ],
)
def test_a_reason_is_read_from_every_vendors_form(body, reason):
    assert read_reason(json.dumps(body).encode(), lambda text: text) == reason


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe", b"[" * 100_000])
def test_a_body_without_a_reason_gives_none(body):
    assert read_reason(body, lambda text: text) == {}


def test_a_key_in_a_reason_is_redacted_even_when_it_is_not_the_one_sent():
    body = b'{"error": {"message": "Incorrect API key provided: sk-admin-CANARY0123456789"}}'
    assert "CANARY" not in read_reason(body, lambda text: text)["message"]


def test_a_reason_is_cut_to_a_readable_length():
    body = json.dumps({"message": "x" * 9_999}).encode()
    assert len(read_reason(body, lambda text: text)["message"]) == 500


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "application/vnd.api+json"])
def test_json_content_is_taken(kind):
    assert judge_content("openai", {"content-type": kind}) is None


@pytest.mark.parametrize("headers", [{"content-type": "text/html"}, {"content-type": "text/json-ish"}, {}])
def test_other_content_is_not(headers):
    assert judge_content("openai", headers).code == "content_type_unexpected"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":"Too Many Requests","message":"Rate limit exceeded."}', "Rate limit exceeded."),
        (b'{"outcome":"error","message":"Group not found"}', "Group not found"),
    ],
)
def test_errors_that_are_a_text_beside_a_message_are_told(body: bytes, message: str) -> None:
    assert read_reason(body, str)["message"] == message
