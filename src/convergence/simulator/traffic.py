"""One day of usage from a seed: every day stands alone, so any one can be asked for first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple, Protocol

from convergence.simulator.chance import draw, draws

_WEEKDAYS = (100, 108, 112, 105, 92, 31, 27)
_DRAWS = 5


Measures = tuple[int, ...]


class Noise(NamedTuple):
    """Five uniform numbers below 65,536 for one row, and the volume of its origin, variant and day."""

    volume: int
    a: int
    b: int
    c: int
    d: int
    e: int


class Source(Protocol):
    """Where rows of a stream come from."""

    @property
    def weight(self) -> int: ...


class Kind(Protocol):
    """One value of the dimensions that do not come from the source."""

    @property
    def share(self) -> int: ...


class Stream(Protocol):
    """What is measured of each source and kind."""

    @property
    def name(self) -> str: ...

    @property
    def variants(self) -> Sequence[Kind]: ...

    def measure(self, variant: Any, noise: Noise, /) -> Measures: ...


class Row(NamedTuple):
    """Usage of one origin and one variant on one day, numbered by their places."""

    origin: int
    variant: int
    measures: Measures


def day_volume(seed: int, day: date) -> int:
    """Percent of a usual weekday."""
    wobble = 90 + draw(seed, "day", day) % 21
    spike = 4 if is_spike(seed, day) else 1
    return _WEEKDAYS[day.weekday()] * wobble * spike // 100


def is_spike(seed: int, day: date) -> bool:
    """One day in 30."""
    return (day.toordinal() + seed) % 30 == 11


def is_empty(seed: int, day: date) -> bool:
    """One day in 14."""
    return (day.toordinal() + seed) % 14 == 5


def generate_rows(
    stream: Stream, origins: Sequence[Source], alive: Sequence[int], *, seed: int, day: date, count: int
) -> list[Row]:
    """`count` rows of distinct (origin, variant), or as many as there are; `alive` are places in `origins`."""
    volume = day_volume(seed, day)
    width = len(stream.variants)
    slots = _slots(len(alive) * width, count, draw(seed, stream.name, "slot", day))
    chance = draws(_DRAWS * len(slots), seed, stream.name, day).tolist()
    weights = [origins[index].weight * volume for index in alive]
    rows: list[Row] = []
    for place, slot in enumerate(slots):
        at, variant_at = divmod(slot, width)
        variant = stream.variants[variant_at]
        first = place * _DRAWS
        noise = Noise(weights[at] * variant.share // 10_000 + 1, *chance[first : first + _DRAWS])
        rows.append(Row(alive[at], variant_at, stream.measure(variant, noise)))
    return rows


def _slots(total: int, count: int, chance: int) -> list[int]:
    """Distinct numbers below `total` in steps that share no factor with it, so that every variant has its turn."""
    if count >= total:
        return list(range(total))
    step = next(step for step in range(total * 618 // 1000 or 1, total + 1) if math.gcd(step, total) == 1)
    return [(chance + place * step) % total for place in range(count)]
