from __future__ import annotations

import pytest

from convergence.api.bodies import parse_json
from convergence.errors import InvalidRequest


def test_json_comes_as_it_was_sent() -> None:
    assert parse_json('{"a": [1, 2.5, true, null, "é"]}'.encode()) == {"a": [1, 2.5, True, None, "é"]}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{} {}",
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b'{"a": 1, "a": 2}',
        b'{"b": {"a": 1, "a": 2}}',
        b'"\xff"',
        b'"\\ud800"',
        b"\xef\xbb\xbf{}",
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-16-le"),
        b"[" * 200_000,
        b'{"a":' * 50_000,
        b"9" * 5000,
    ],
)
def test_anything_else_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_json(body)


def test_what_was_sent_is_not_quoted() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_json(b'{"credential": sk-canary}')

    assert "canary" not in f"{caught.value.message}{caught.value.hint}{caught.value.fields}"
    assert caught.value.__cause__ is None
