"""An organization at OpenAI: what it used and what it was charged, day by day, and every change of mind since."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from convergence.kit.window import DAY, Window
from convergence.simulator.amounts import PICO_PLACES
from convergence.simulator.days import DAY_SECONDS, cut, elapsed_seconds, is_there
from convergence.simulator.openai.charges import CostRow, charge_rows, is_credited
from convergence.simulator.openai.directory import Origin, build_directory
from convergence.simulator.openai.prices import OFFERS
from convergence.simulator.openai.streams import STREAMS, Stream
from convergence.simulator.openai.truth import build_truth
from convergence.simulator.revisions import RevisedWorld, Revision, apply_revisions
from convergence.simulator.traffic import Row, generate_rows, is_empty

_SIDE_SHARE = 25
_KEPT_DAYS = 3


class OpenAIWorld(RevisedWorld):
    """Everything one admin key can see, from its seed. Two worlds of equal arguments are equal.

    Days run from `end_day - days` up to, and without, `end_day`; other days are empty. `rows_per_day` counts
    completions rows under every dimension; the other endpoints get a small part of it. `steady` leaves out the days
    without usage, so that the number of rows is exact. Reported amounts have `amount_places` decimals (2 to 12).
    """

    def __init__(
        self,
        seed: int = 7,
        *,
        end_day: date,
        days: int = 30,
        rows_per_day: int = 200,
        people: int = 12,
        projects: int = 6,
        keys: int | None = None,
        steady: bool = False,
        rejects_api_key_grouping: bool = False,
        amount_places: int = 9,
    ) -> None:
        if not 2 <= amount_places <= PICO_PLACES:
            raise ValueError(f"amount_places is 2 to {PICO_PLACES}, not {amount_places}")
        self.seed = seed
        self.window = Window(end_day - days * DAY, end_day)
        self.rows_per_day = rows_per_day
        self.steady = steady
        self.rejects_api_key_grouping = rejects_api_key_grouping
        self.amount_places = amount_places
        self.directory = build_directory(
            seed,
            end_day=end_day,
            days=days,
            people=people,
            projects=projects,
            keys=keys or _enough_keys(rows_per_day, people),
        )
        self.origins: tuple[Origin, ...] = (*self.directory.origins, *self.directory.project_origins)
        self._rows = lru_cache(maxsize=_KEPT_DAYS * len(STREAMS))(self._generate)
        self._costs = lru_cache(maxsize=_KEPT_DAYS)(self._charge)

    def rows(self, stream: Stream, day: date) -> list[Row]:
        """The usage of a whole day, one row for each value of every dimension."""
        if day not in self.window or (not self.steady and is_empty(self.seed, day)):
            return []
        return self._rows(stream.name, day, self.revisions)

    def costs(self, day: date) -> list[CostRow]:
        """The reported cost of a whole day, by origin and line."""
        return self._costs(day, self.revisions)

    def rows_until(self, stream: Stream, day: date, now: datetime) -> Iterator[Row]:
        """The usage of a day as far as `now` has come."""
        end = elapsed_seconds(day, now)
        rows = self.rows(stream, day)
        return iter(rows) if end == DAY_SECONDS else cut_rows(stream, rows, 0, end)

    def costs_until(self, day: date, now: datetime) -> Iterator[CostRow]:
        """The reported cost of a day as far as `now` has come."""
        end = elapsed_seconds(day, now)
        costs = (cost if end == DAY_SECONDS else cut_cost(cost, 0, end) for cost in self.costs(day))
        return (cost for cost in costs if cost.amount)

    def truth(self, now: datetime) -> dict[str, Any]:
        """Exact totals as the provider states them at this moment."""
        return build_truth(self, now)

    def _generate(self, name: str, day: date, revisions: tuple[Revision, ...]) -> list[Row]:
        stream = STREAMS[name]
        alive = self._alive(stream, day)
        rows = generate_rows(stream, self.origins, alive, seed=self.seed, day=day, count=self._count(stream))
        return apply_revisions(rows, revisions, seed=self.seed, stream=name, day=day)

    def _charge(self, day: date, _revisions: tuple[Revision, ...]) -> list[CostRow]:
        rows = {name: self.rows(stream, day) for name, stream in STREAMS.items()}
        return charge_rows(
            rows,
            self.origins,
            len(self.directory.origins),
            places=self.amount_places,
            credited=is_credited(self.seed, day),
        )

    def _alive(self, stream: Stream, day: date) -> Sequence[int]:
        first = len(self.directory.origins)
        places = range(first, len(self.origins)) if stream.by_project else range(first)
        return [place for place in places if is_there(self.origins[place].until, day)]

    def _count(self, stream: Stream) -> int:
        if stream.name == "completions":
            return self.rows_per_day
        return max(2, self.rows_per_day // _SIDE_SHARE)


def cut_rows(stream: Stream, rows: list[Row], start: int, end: int) -> Iterator[Row]:
    """Rows of a part of a day; rows without anything left vanish. A level is the same at any moment."""
    for row in rows if start < end else ():
        measures = row.measures if stream.is_level else tuple(cut(value, start, end) for value in row.measures)
        if any(measures):
            yield row._replace(measures=measures)


def cut_cost(cost: CostRow, start: int, end: int) -> CostRow:
    """The cost of a part of a day."""
    amount, quantity = cut(cost.amount, start, end), cut(cost.quantity, start, end)
    return cost._replace(amount=amount, quantity=quantity, list_pico=cut(cost.list_pico, start, end))


def _enough_keys(rows_per_day: int, people: int) -> int:
    return max(2 * people, math.ceil(1.4 * rows_per_day / len(OFFERS)))
