"""One page of an API as it came, and its envelope read without reading its rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from convergence.errors import ProviderMisbehaved, ProviderUnavailable

Params = Sequence[tuple[str, str]]

_SPLIT = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Envelope(Mapping[str, Any]):
    """The top-level members of a page. A member is parsed when it is asked for: the rows, mostly, never are."""

    def __init__(self, members: Mapping[str, Any]) -> None:
        self._members = dict(members)

    def __getitem__(self, key: str) -> Any:
        value = self._members[key]
        if isinstance(value, msgspec.Raw):
            value = self._members[key] = msgspec.json.decode(value)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        return f"Envelope({', '.join(self._members)})"


@dataclass(frozen=True, slots=True)
class Page:
    """A response body with what is needed to read it again. `number` counts from 1."""

    number: int
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    params: tuple[tuple[str, str], ...]
    envelope: Mapping[str, Any] = field(repr=False, default_factory=dict)


def read_envelope(body: bytes) -> Envelope:
    """The members of a JSON object. A bare array is the member `data`.

    Raises:
        ProviderUnavailable: the text ends early or is not JSON; the next try may bring all of it.
        ProviderMisbehaved: JSON, and neither an object nor an array.
    """
    try:
        return Envelope(_SPLIT.decode(body))
    except (msgspec.DecodeError, RecursionError):
        # msgspec refuses NaN, which is a fault of one row and not of the page.
        return _read_leniently(body)


def parse_json(body: bytes) -> Any:
    """Python values; numbers with a fraction as Decimal, NaN and Infinity as Decimal too.

    Raises:
        ProviderUnavailable: the text ends early or is not JSON.
        ProviderMisbehaved: nested deeper than anything a provider means.
    """
    try:
        return _load(body)
    except RecursionError as error:
        raise ProviderMisbehaved("the page is nested too deeply to be read", code="page_nested_too_deeply") from error
    except ValueError as error:
        raise ProviderUnavailable(f"the page is cut short or not JSON: {_place(error)}", code="page_not_json") from None


def _read_leniently(body: bytes) -> Envelope:
    value = parse_json(body)
    match value:
        case dict():
            return Envelope(value)
        case list():
            return Envelope({"data": value})
        case _:
            raise ProviderMisbehaved(
                f"the page is a JSON {type(value).__name__}, not an object", code="page_not_object"
            )


def _load(body: bytes) -> Any:
    try:
        return json.loads(body, parse_float=Decimal, parse_constant=Decimal)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except ValueError:  # an int of thousands of digits; a hook for every int would double the time of every page
        return json.loads(body, parse_float=Decimal, parse_constant=Decimal, parse_int=_parse_whole)


def _parse_whole(text: str) -> int | Decimal:
    """Python refuses to read thousands of digits as an int; such a number is a fault of its row, not of the page."""
    return int(text) if len(text) < 1_000 else Decimal(text)


def _place(error: ValueError) -> str:
    """Where it broke, without the text around it."""
    match error:
        case json.JSONDecodeError():
            return f"{error.msg} at character {error.pos}"
        case UnicodeDecodeError():
            return f"not UTF-8 at byte {error.start}"
        case _:
            return "a number without end"
