"""An organization at Anthropic: what it used and what it was charged, day by day, and every change of mind since."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from convergence.kit.window import DAY, Window
from convergence.simulator.anthropic.charges import Charge, CostRow, charge_day, charge_usage
from convergence.simulator.anthropic.claude_code import Activity, activities
from convergence.simulator.anthropic.directory import Origin, build_directory
from convergence.simulator.anthropic.prices import OFFERS, US
from convergence.simulator.anthropic.traffic import MESSAGES
from convergence.simulator.anthropic.truth import build_truth
from convergence.simulator.days import DAY_SECONDS, cut, elapsed_seconds, is_there
from convergence.simulator.revisions import RevisedWorld, Revision, apply_revisions
from convergence.simulator.traffic import Row, generate_rows, is_empty

_KEPT_DAYS = 3
CLAUDE_CODE_LAG_SECONDS = 3_600


class AnthropicWorld(RevisedWorld):
    """Everything one admin key can see, from its seed. Two worlds of equal arguments are equal.

    Days run from `end_day - days` up to, and without, `end_day`; other days are empty. `rows_per_day` counts usage rows
    under every dimension. `steady` leaves out the days without usage. With `refuses`, one row in twenty has tokens that
    cost nothing, as refused requests have. Without `us_inference` a model has one price everywhere: what ran in the US
    costs more and cannot be told by key. Reported amounts have `amount_places` decimals of a dollar (2 to 12).
    """

    def __init__(
        self,
        seed: int = 7,
        *,
        end_day: date,
        days: int = 30,
        rows_per_day: int = 120,
        people: int = 12,
        workspaces: int = 4,
        keys: int | None = None,
        steady: bool = False,
        refuses: bool = False,
        us_inference: bool = True,
        amount_places: int = 9,
    ) -> None:
        self.seed = seed
        self.window = Window(end_day - days * DAY, end_day)
        self.rows_per_day = rows_per_day
        self.steady = steady
        self.refuses = refuses
        self.us_inference = us_inference
        self.amount_places = amount_places
        self.directory = build_directory(
            seed, end_day=end_day, days=days, people=people, workspaces=workspaces, keys=keys or 2 * people
        )
        self.origins: tuple[Origin, ...] = self.directory.origins
        self._rows = lru_cache(maxsize=_KEPT_DAYS)(self._generate)

    def rows(self, day: date) -> list[Row]:
        """The usage of a whole day, one row for each value of every dimension."""
        return self._rows(day, self.revisions) if self._is_busy(day) else []

    def rows_between(self, day: date, start: int, end: int) -> Iterator[Row]:
        """The usage between two seconds of a day; rows without anything left vanish."""
        for row in self.rows(day) if start < end else ():
            measures = row.measures
            if (start, end) != (0, DAY_SECONDS):
                measures = tuple(cut(value, start, end) for value in measures)
            if any(measures):
                yield row._replace(measures=measures)

    def charges_until(self, day: date, now: datetime) -> Iterator[Charge]:
        """What the usage of a day costs, as far as `now` has come."""
        rows = self.rows_between(day, 0, elapsed_seconds(day, now))
        return charge_usage(rows, self.origins, refuses=self.refuses)

    def costs_until(self, day: date, now: datetime) -> list[CostRow]:
        """The reported cost of a day as far as `now` has come."""
        return charge_day(self.charges_until(day, now), self.amount_places)

    def claude_code_until(self, day: date, now: datetime) -> list[Activity]:
        """The activity of a day; the last hour is not told yet."""
        seconds = max(0, elapsed_seconds(day, now) - (0 if day < now.date() else CLAUDE_CODE_LAG_SECONDS))
        if not seconds or not self._is_busy(day):
            return []
        return list(activities(self.directory, self.seed, day, seconds))

    def truth(self, now: datetime) -> dict[str, Any]:
        """Exact totals as the provider states them at this moment."""
        return build_truth(self, now)

    def _is_busy(self, day: date) -> bool:
        return day in self.window and (self.steady or not is_empty(self.seed, day))

    def _generate(self, day: date, revisions: tuple[Revision, ...]) -> list[Row]:
        alive = [place for place, origin in enumerate(self.origins) if is_there(origin.until, day)]
        rows = generate_rows(MESSAGES, self.origins, alive, seed=self.seed, day=day, count=self.rows_per_day)
        rows = [row for row in rows if self.us_inference or OFFERS[row.variant].geo != US]
        return apply_revisions(rows, revisions, seed=self.seed, stream=MESSAGES.name, day=day)
