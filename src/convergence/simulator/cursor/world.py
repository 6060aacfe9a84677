"""A team at Cursor: what it did and what it was charged, event by event, and every change of mind since."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from convergence.kit.window import DAY, Window, midnight
from convergence.simulator.chance import draws
from convergence.simulator.cursor.offers import EVENTS, OFFERS, Offer, Price, price
from convergence.simulator.cursor.team import Origin, build_team
from convergence.simulator.cursor.truth import build_truth
from convergence.simulator.days import is_there
from convergence.simulator.revisions import RevisedWorld, Revision, apply_revisions
from convergence.simulator.traffic import Row, generate_rows, is_empty

_KEPT_DAYS = 40
_DAY_MILLISECONDS = 86_400_000
_TWIN_ONE_IN = 12
_LATE_ONE_IN = 10


class Event(NamedTuple):
    """One usage event. `told` is the millisecond from which on the API knows it."""

    moment: int
    told: int
    origin: Origin
    offer: Offer
    row: Row
    price: Price


class CursorWorld(RevisedWorld):
    """Everything one Admin API key can see, from its seed. Two worlds of equal arguments are equal.

    Days run from `end_day - days` up to, and without, `end_day`; other days are empty. `rows_per_day` counts kinds of
    events; one in twelve happens twice, equal in everything. `steady` leaves out the days without events. One event in
    ten is told `late_hours` after it happened. Billing cycles begin on the day `cycle_day` of a month, at nine.
    """

    def __init__(
        self,
        seed: int = 7,
        *,
        end_day: date,
        days: int = 30,
        rows_per_day: int = 40,
        people: int = 12,
        steady: bool = False,
        late_hours: int = 0,
        cycle_day: int = 14,
        limits_rates: bool = True,
    ) -> None:
        self.seed = seed
        self.window = Window(end_day - days * DAY, end_day)
        self.rows_per_day = rows_per_day
        self.steady = steady
        self.late_hours = late_hours
        self.cycle_day = cycle_day
        self.limits_rates = limits_rates
        self.lists_removed = True
        self.team = build_team(seed, end_day=end_day, days=days, people=people)
        self._events = lru_cache(maxsize=_KEPT_DAYS)(self._generate)

    def events(self, day: date, now: datetime) -> list[Event]:
        """The events of a day as far as they are told, newest first."""
        is_busy = day in self.window and (self.steady or not is_empty(self.seed, day))
        moment = int(now.timestamp() * 1_000)
        return [event for event in self._events(day, self.revisions) if event.told <= moment] if is_busy else []

    def events_between(self, start: int, end: int, now: datetime) -> Iterator[Event]:
        """Events from one millisecond to another, both inside, newest first."""
        day = datetime.fromtimestamp(end / 1_000, UTC).date()
        while int(midnight(day + DAY).timestamp()) * 1_000 > start:
            yield from (event for event in self.events(day, now) if start <= event.moment <= end)
            day -= DAY

    def cycle_start(self, now: datetime) -> datetime:
        """When the current billing cycle began."""
        start = now.replace(day=self.cycle_day, hour=9, minute=0, second=0, microsecond=0)
        return start if start <= now else (start.replace(day=1) - timedelta(days=1)).replace(day=self.cycle_day)

    def truth(self, now: datetime) -> dict[str, Any]:
        """Exact totals as the provider states them at this moment."""
        return build_truth(self, now)

    def _generate(self, day: date, revisions: tuple[Revision, ...]) -> list[Event]:
        origins = self.team.origins
        alive = [place for place, origin in enumerate(origins) if is_there(origin.until, day)]
        rows = generate_rows(EVENTS, origins, alive, seed=self.seed, day=day, count=self.rows_per_day)
        rows = apply_revisions(rows, revisions, seed=self.seed, stream=EVENTS.name, day=day)
        events = [event for row in rows for event in self._happen(day, row)]
        return sorted(events, key=lambda event: event.moment, reverse=True)

    def _happen(self, day: date, row: Row) -> list[Event]:
        """Once or twice, at a moment that no revision changes."""
        high, low, twin, late = draws(4, self.seed, "moment", day, row.origin, row.variant)
        moment = int(midnight(day).timestamp()) * 1_000 + (high << 16 | low) % _DAY_MILLISECONDS
        told = moment + (self.late_hours * 3_600_000 if late % _LATE_ONE_IN == 0 else 0)
        offer = OFFERS[row.variant]
        event = Event(moment, told, self.team.origins[row.origin], offer, row, price(offer, row.measures))
        return [event] * (2 if twin % _TWIN_ONE_IN == 0 else 1)
