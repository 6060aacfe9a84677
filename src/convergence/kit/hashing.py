"""Digests of composite keys that cannot collide by shifting a boundary."""

from __future__ import annotations

import hashlib


def digest(*parts: str | bytes) -> str:
    """SHA-256 in hex over length-prefixed parts: ("ab", "c") and ("a", "bc") differ."""
    sha = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        sha.update(len(raw).to_bytes(8, "big"))
        sha.update(raw)
    return sha.hexdigest()
