from __future__ import annotations

import json
import time
from decimal import Decimal

import pytest

from convergence.security import ApiKeys, Secrets, is_secret_name, redact, redact_value

PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"

SECRETS = (
    "sk-proj-Abc123Def456Ghi789",
    "sk-admin-Zz9Yy8Xx7Ww6Vv5",
    "sk-ant-api03-AbCdEf_GhIjKl-0123456789",
    "sk-ant-admin01-AbCdEf_GhIjKl",
    "sk-0123456789abcdef0123456789abcdef",
    "AIzaSyD-0123456789abcdefghijklmnopqrstu",
    "ya29.a0AfH6SMBx-abcdefghijklmnop",
    "key_" + "0123456789abcdef" * 4,
    "ghp_0123456789abcdefghijklmnopqrstuvwxyz",
    "xoxb-1234567890-abcdefghij",
    JWT,
    PEM,
)
FRAMES = ("{}", "the key {} is wrong", '"{}"', "({})", "a={};", "url?k={}&n=1", "Incorrect API key provided: {}.")


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("frame", FRAMES)
def test_a_known_shape_never_gets_through(secret, frame):
    redacted = redact(frame.format(secret))

    assert secret not in redacted
    assert secret[len(secret) // 2 :] not in redacted
    assert "[redacted]" in redacted


def test_an_organizations_api_key_keeps_only_its_public_id():
    new = ApiKeys(bytes(32)).mint("a_api_b")

    assert redact(f"got {new.api_key}!") == f"got a_api_b_api_{new.key_id}[redacted]!"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abcDEF123456", "Authorization: [redacted]"),
        ("sent Bearer abcDEF.123_456-x= to it", "sent Bearer [redacted] to it"),
        ("basic dXNlcjpwYXNzd29yZA==", "basic [redacted]"),
        ("GET /v1?api_key=topsecret&limit=5", "GET /v1?api_key=[redacted]&limit=5"),
        ("access_token=abc123, expires=5", "access_token=[redacted], expires=5"),
        ("postgres://user:p4ss@db:5432/x", "postgres://[redacted]@db:5432/x"),
        ("x-api-key: abc def\nnext: line", "x-api-key: [redacted]\nnext: line"),
        ("https://hooks.slack.com/services/T0/B0/xyz done", "https://hooks.slack.com/services/[redacted] done"),
        ('{"password": "a \\" b", "n": 1}', '{"password": "[redacted]", "n": 1}'),
        ("{'x-api-key': b'abc', 'n': 1}", "{'x-api-key': \"[redacted]\", 'n': 1}"),
        ('{"api_key":"cut sho', '{"api_key": "[redacted]"'),
    ],
)
def test_the_shape_around_a_secret_stays(text, expected):
    assert redact(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "run finished in 3.2 s rows=1234",
        "input_tokens=12 output_tokens=3 cached_tokens=0",
        '{"input_tokens": "12", "page_token": "abc", "api_key_id": "key_abc"}',
        "Bearer authentication required",
        "basic information about risk-adjusted tasks",
        "next_page_token=abcdef",
        "the secret is missing; give a password",
        "https://api.openai.com:443/v1/organization/usage",
        "ask-me-anything disk-usage-report",
        "group by api_key_id, model",
    ],
)
def test_ordinary_text_is_left_alone(text):
    assert redact(text) == text


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("authorization", True),
        ("Authorization", True),
        ("X-API-Key", True),
        ("api_key", True),
        ("admin_api_key", True),
        ("credential", True),
        ("secret", True),
        ("client-secret", True),
        ("password", True),
        ("token", True),
        ("refresh_token", True),
        ("private_key", True),
        ("http.request.header.x-api-key", True),
        ("gen_ai.usage.input_tokens", False),
        ("input_tokens", False),
        ("output_tokens", False),
        ("tokens", False),
        ("token_class", False),
        ("next_page_token", False),
        ("price_per_token", False),
        ("api_key_id", False),
        ("credential_id", False),
        ("key", False),
    ],
)
def test_names_that_hold_secrets(name, is_secret):
    assert is_secret_name(name) is is_secret


def test_nested_values_are_masked_by_name_and_by_shape():
    value = {
        "headers": [{"X-Api-Key": "abc", "accept": "json"}],
        "body": {"credential": {"deep": "gone"}, "note": "use sk-admin-Zz9Yy8Xx7Ww6Vv5"},
        "input_tokens": 5,
        "amount": Decimal("1.50"),
        "secret": None,
        "token": 12345,
        "password": False,
        "raw": b"Bearer abcDEF123456",
        "sk-admin-Zz9Yy8Xx7Ww6Vv5": 1,
    }

    assert redact_value(value) == {
        "headers": [{"X-Api-Key": "[redacted]", "accept": "json"}],
        "body": {"credential": "[redacted]", "note": "use sk-admin-[redacted]"},
        "input_tokens": 5,
        "amount": Decimal("1.50"),
        "secret": None,
        "token": "[redacted]",
        "password": False,
        "raw": "Bearer [redacted]",
        "sk-admin-[redacted]": 1,
    }
    assert value["headers"] == [{"X-Api-Key": "abc", "accept": "json"}]


def test_what_is_nested_without_end_is_cut():
    deep: dict[str, object] = {"secret": "bottom"}
    for _ in range(5_000):
        deep = {"down": deep, "text": "up"}
    loop: list[object] = ["x"]
    loop.append(loop)

    assert "bottom" not in json.dumps(redact_value(deep))
    assert "[redacted]" in json.dumps(redact_value(loop))


def test_a_literal_is_masked_in_each_of_its_spellings():
    secrets = Secrets()
    secrets.add('p/w "x" ключ')

    assert secrets.mask('is p/w "x" ключ here') == "is [redacted] here"
    assert secrets.mask("url p%2Fw%20%22x%22%20%D0%BA%D0%BB%D1%8E%D1%87!") == "url [redacted]!"
    assert secrets.mask(json.dumps({"k": 'p/w "x" ключ'})) == '{"k": "[redacted]"}'


def test_the_longer_of_two_literals_goes_first():
    secrets = Secrets()
    secrets.add("abcdefgh")
    secrets.add("abcdefgh-ijkl")

    assert secrets.mask("abcdefgh-ijkl abcdefgh") == "[redacted] [redacted]"


@pytest.mark.parametrize("short", ["", "a", "  ", "12345"])
def test_short_literals_would_mask_words_and_are_not_kept(short):
    secrets = Secrets()
    secrets.add(short)

    assert secrets.mask("a 12345 word") == "a 12345 word"


def test_the_registry_is_bounded_and_keeps_the_newest():
    secrets = Secrets(capacity=10)
    for n in range(1_000):
        secrets.add(f"secret-{n:04}")

    assert len(secrets) == 10
    assert secrets.mask("secret-0999") == "[redacted]"
    assert secrets.mask("secret-0001") == "secret-0001"
    assert "secret-0999" not in repr(secrets)


@pytest.mark.parametrize(
    "hostile",
    [
        "sk-" * 100_000,
        "a" * 300_000,
        '"token": "' + "\\" * 300_000,
        "bearer " * 50_000,
        "_api_" * 60_000,
        "://a:" * 60_000,
        "-----BEGIN PRIVATE KEY-----" * 12_000,
        "-----BEGIN " + "A" * 300_000,
        "'api_key':'" * 30_000,
        "eyJaaaaaaaaaaa." * 20_000,
        "authorization " * 20_000,
        "token=" * 50_000,
        '{"secret":' * 30_000,
    ],
    ids=lambda text: text[:12],
)
def test_hostile_text_costs_linear_time(hostile):
    def seconds(text: str) -> float:
        started = time.process_time()
        redact(text)
        return time.process_time() - started

    # A quadratic pattern takes minutes here; the margin is for a busy machine.
    assert seconds(hostile) < 3
