"""An account at DeepSeek: what its keys used hour by hour, what that cost, and every change of mind since."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from convergence.kit.window import DAY, Window, midnight
from convergence.simulator.chance import draws, identifier
from convergence.simulator.deepseek.offers import CHAT, OFFERS, Offer, hours_of
from convergence.simulator.deepseek.truth import build_truth
from convergence.simulator.revisions import RevisedWorld, Revision, apply_revisions
from convergence.simulator.traffic import Row, generate_rows, is_empty

_KEPT_DAYS = 3
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Key:
    """An API key. The console shows it by its name, and masked."""

    name: str
    secret: str
    weight: int

    @property
    def masked(self) -> str:
        return f"{self.secret[:8]}{'*' * 23}{self.secret[-4:]}"

    @property
    def id(self) -> str:
        """What the platform can tell it by."""
        return f"{self.name} {self.secret[:8]}***{self.secret[-4:]}"


class Use(NamedTuple):
    """What one key used of one offer in an hour."""

    hour: datetime
    key: Key
    offer: Offer
    measures: tuple[int, ...]


class DeepSeekWorld(RevisedWorld):
    """Everything one account has, from its seed. Two worlds of equal arguments are equal.

    Days run from `end_day - days` up to, and without, `end_day`; they are UTC days. `rows_per_day` counts keys and
    offers of a day. `steady` leaves out the days without usage. Until `granted_days` have passed, a twentieth of the
    cost is taken from what was granted. `topped_up` is what was paid in.
    """

    def __init__(
        self,
        seed: int = 7,
        *,
        end_day: date,
        days: int = 30,
        rows_per_day: int = 12,
        keys: int = 4,
        currency: str = "USD",
        granted_days: int = 10,
        steady: bool = False,
        topped_up: int = 10_000,
    ) -> None:
        self.seed = seed
        self.window = Window(end_day - days * DAY, end_day)
        self.rows_per_day = rows_per_day
        self.currency = currency
        self.granted = Window(self.window.start, self.window.start + max(1, granted_days) * DAY)
        self.steady = steady
        self.topped_up = topped_up
        self.user_id = identifier("", seed, "deepseek", width=32).lower()
        self.keys = tuple(_build_keys(seed, keys))
        self._rows = lru_cache(maxsize=_KEPT_DAYS)(self._generate)

    def uses(self, day: date, now: datetime) -> Iterator[Use]:
        """The usage of a UTC day by the hour; hours that are not over are not told yet."""
        if day not in self.window or (not self.steady and is_empty(self.seed, day)):
            return
        start = midnight(day)
        for row in self._rows(day, self.revisions):
            offer = OFFERS[row.variant]
            hours = hours_of(offer, start)
            for place, hour in enumerate(hours):
                moment = start + hour * HOUR
                measures = tuple(_share(amount, place, len(hours)) for amount in row.measures)
                if moment + HOUR <= now and any(measures):
                    yield Use(moment, self.keys[row.origin], offer, measures)

    def truth(self, now: datetime) -> dict[str, Any]:
        """Exact totals as the provider states them at this moment."""
        return build_truth(self, now)

    def _generate(self, day: date, revisions: tuple[Revision, ...]) -> list[Row]:
        alive = list(range(len(self.keys)))
        rows = generate_rows(CHAT, self.keys, alive, seed=self.seed, day=day, count=self.rows_per_day)
        return apply_revisions(rows, revisions, seed=self.seed, stream=CHAT.name, day=day)


def _build_keys(seed: int, count: int) -> Iterator[Key]:
    weights = draws(count, seed, "deepseek keys")
    for place in range(count):
        secret = identifier("sk-", seed, "deepseek key", place, width=32).lower()
        yield Key(f"key-{chr(ord('a') + place)}", secret, 20 + weights[place] % 200)


def _share(amount: int, place: int, places: int) -> int:
    """The part of a day's amount in one of its hours; the parts sum exactly."""
    return amount * (place + 1) // places - amount * place // places
