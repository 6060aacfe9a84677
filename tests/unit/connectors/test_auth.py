"""What auth adds to a request, and that it shows nothing of itself."""

from __future__ import annotations

from base64 import b64encode

import httpx2
import pytest

from convergence.connectors import basic, bearer, header_key, no_auth

SECRET = "sk-CANARY-0123456789"


def headers_of(auth) -> dict[str, str]:
    request = next(auth.auth_flow(httpx2.Request("GET", "https://h/x")))
    return {name: value for name, value in request.headers.items() if name != "host"}


@pytest.mark.parametrize(
    ("auth", "headers"),
    [
        (bearer(f" {SECRET}\n"), {"authorization": f"Bearer {SECRET}"}),
        (bearer(SECRET, anthropic_version="1"), {"authorization": f"Bearer {SECRET}", "anthropic-version": "1"}),
        (
            header_key("x-api-key", SECRET, {"anthropic-version": "2023-06-01"}),
            {"x-api-key": SECRET, "anthropic-version": "2023-06-01"},
        ),
        (basic(SECRET, ""), {"authorization": f"Basic {b64encode(f'{SECRET}:'.encode()).decode()}"}),
        (no_auth(), {}),
    ],
    ids=["bearer", "bearer with a fixed header", "header key", "basic", "none"],
)
def test_headers_that_are_sent(auth, headers):
    assert headers_of(auth) == headers


@pytest.mark.parametrize("auth", [bearer(SECRET), header_key("x-api-key", SECRET), basic(SECRET, SECRET)])
def test_the_secret_is_not_in_repr_or_str(auth):
    assert "CANARY" not in f"{auth!r} {auth}"


@pytest.mark.parametrize("auth", [bearer(SECRET), header_key("x-api-key", SECRET), basic(SECRET, "other")])
def test_an_echoed_secret_is_hidden(auth):
    assert auth.hide(f"bad key {SECRET}!") == "bad key [redacted]!"


def test_identity_tells_credentials_apart_without_holding_them():
    assert bearer("a").identity == bearer("a").identity
    assert bearer("a").identity != bearer("b").identity
    assert b"CANARY" not in bearer(SECRET).identity
