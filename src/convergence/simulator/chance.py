"""Seeded chance: the same parts give the same draws on every machine and Python."""

from __future__ import annotations

import hashlib
import string
import sys
from array import array

_ALPHABET = string.digits + string.ascii_letters


def draws(count: int, *parts: object) -> array[int]:
    """`count` uniform numbers in [0, 65536)."""
    numbers = array("H", hashlib.shake_128(_seed(parts)).digest(2 * count))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def draw(*parts: object) -> int:
    """One uniform number in [0, 65536)."""
    return draws(1, *parts)[0]


def identifier(prefix: str, *parts: object, width: int = 24) -> str:
    """`prefix` and `width` letters and digits."""
    digest = hashlib.shake_128(_seed((prefix, *parts))).digest(width)
    return prefix + "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest)


def _seed(parts: tuple[object, ...]) -> bytes:
    return "\x1f".join(str(part) for part in parts).encode()
