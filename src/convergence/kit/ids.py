"""Random identifiers and base-62 text."""

from __future__ import annotations

import secrets
import string
import time

BASE62 = string.digits + string.ascii_letters
_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


def base62(number: int, width: int) -> str:
    """`number` in base 62, left-padded with zeros to `width`."""
    text = ""
    while number:
        number, digit = divmod(number, 62)
        text = BASE62[digit] + text
    return text.rjust(width, "0")


def random_base62(width: int) -> str:
    """`width` characters, uniform over the 62 letters and digits."""
    return "".join(secrets.choice(BASE62) for _ in range(width))


def new_id(prefix: str) -> str:
    """A unique id that sorts by time: `prefix_` + 10 characters of milliseconds + 16 random ones."""
    stamp = time.time_ns() // 1_000_000
    head = "".join(_CROCKFORD[(stamp >> shift) & 31] for shift in range(45, -5, -5))
    tail = "".join(secrets.choice(_CROCKFORD) for _ in range(16))
    return f"{prefix}_{head}{tail}"
