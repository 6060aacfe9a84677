"""Opaque cursors of report pages: they hold for exactly the parameters that they were given for."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Mapping, Sequence

from convergence.kit.hashing import digest

_CURSOR = struct.Struct(">6sqq")


def bind(values: Mapping[str, Sequence[str]]) -> bytes:
    """What a cursor holds for: every parameter but the page."""
    parts = [f"{name}={value}" for name in sorted(values) if name != "page" for value in sorted(values[name])]
    return bytes.fromhex(digest(*parts))[:6]


def write_cursor(binding: bytes, start: int, end: int) -> str:
    """`start` is where the next page begins, `end` where the report ends: the `now` of its first page is kept."""
    return "page_" + base64.urlsafe_b64encode(_CURSOR.pack(binding, start, end)).decode()


def read_cursor(page: str, binding: bytes) -> tuple[int, int]:
    """
    Raises:
        ValueError: no cursor, or one of a request with other parameters.
    """
    try:
        bound, start, end = _CURSOR.unpack(base64.urlsafe_b64decode(page.removeprefix("page_")))
    except (binascii.Error, struct.error, ValueError):
        raise ValueError("Invalid 'page' cursor.") from None
    if bound != binding:
        raise ValueError("The 'page' cursor belongs to a request with other parameters.")
    return int(start), int(end)
