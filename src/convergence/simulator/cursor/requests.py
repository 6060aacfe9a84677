"""Bodies of requests, read strictly."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from convergence.simulator.cursor.refusals import bad_request

Body = Mapping[str, Any]
MOST_PAGE_SIZE = 1_000
_DEFAULT_PAGE_SIZE = 25
_LONGEST = int(timedelta(days=30).total_seconds()) * 1_000


@dataclass(frozen=True, slots=True)
class Paging:
    """`is_asked` is false where the body says nothing of pages."""

    page: int
    size: int
    is_asked: bool

    @property
    def first(self) -> int:
        return (self.page - 1) * self.size

    def pages(self, count: int) -> int:
        return max(1, -(-count // self.size))


def read_body(text: bytes, known: Collection[str]) -> Body:
    """
    Raises:
        Refusal: 400: no JSON object, or an unknown member.
    """
    try:
        body: dict[str, Any] = msgspec.json.decode(text or b"{}", type=dict[str, Any])
    except msgspec.DecodeError:
        raise bad_request("Request body must be a JSON object") from None
    unknown = sorted(body.keys() - set(known))
    if unknown:
        raise bad_request(f"Unrecognized key: {unknown[0]}")
    return body


def read_range(body: Body, now: datetime) -> tuple[int, int]:
    """The first and the last millisecond, both inside; the last thirty days where nothing is said.

    Raises:
        Refusal: 400: no times, the wrong way round, or more than thirty days.
    """
    end = _number(body, "endDate", int(now.timestamp() * 1_000), least=0)
    start = _number(body, "startDate", end - _LONGEST, least=0)
    if end < start:
        raise bad_request("endDate must not be before startDate")
    if end - start > _LONGEST:
        raise bad_request("Date range cannot exceed 30 days")
    return start, end


def read_paging(body: Body) -> Paging:
    page = _number(body, "page", 1, least=1)
    size = _number(body, "pageSize", _DEFAULT_PAGE_SIZE, least=1)
    if size > MOST_PAGE_SIZE:
        raise bad_request(f"pageSize must be at most {MOST_PAGE_SIZE}")
    return Paging(page, size, "page" in body or "pageSize" in body)


def _number(body: Body, name: str, default: int, *, least: int) -> int:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise bad_request(f"{name} must be a number of at least {least}")
    return value
