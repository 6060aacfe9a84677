"""What was read a moment ago."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from convergence.kit.clock import Clock

T = TypeVar("T")


class Recent(Generic[T]):
    """Values for a while, the newest `capacity` of them. A value is good only under the mark it was read under."""

    def __init__(self, clock: Clock, *, capacity: int = 10_000) -> None:
        self._clock = clock
        self._capacity = capacity
        self._values: OrderedDict[str, tuple[datetime, str, T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: str, mark: str = "") -> T | None:
        held = self._values.get(key)
        if held is None:
            return None
        until, read_under, value = held
        if read_under == mark and self._clock.now() < until:
            return value
        del self._values[key]
        return None

    def put(self, key: str, value: T, ttl: timedelta, mark: str = "") -> None:
        self._values[key] = (self._clock.now() + ttl, mark, value)
        self._values.move_to_end(key)
        if len(self._values) > self._capacity:
            self._values.popitem(last=False)
