"""A key and the world that it opens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

WorldT = TypeVar("WorldT")


@dataclass(frozen=True, slots=True)
class Account(Generic[WorldT]):
    """`scopes` are the vendor's names of what the key may read."""

    provider: str
    key: str
    world: WorldT
    scopes: frozenset[str]
