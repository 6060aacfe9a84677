"""A dated price list, looked up without any I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cached_property

from convergence.kit.hashing import digest
from convergence.kit.money import format_amount
from convergence.kit.window import spans_meet

DEFAULT_TIER = "default"
MAIN_CURRENCY = "USD"

# A model's price is that of its releases and aliases: gpt-4o-2024-08-06, gpt-4-0613, o4-mini-latest, ft:gpt-4o:acme.
_RELEASE = re.compile(r"(?:-\d{4}-\d{2}-\d{2}|-\d{8}|-\d{4}|-latest|-preview|[:@].*)+")


@dataclass(frozen=True)
class Price:
    """One row of a price book. It holds from `valid_from` up to, and without, `valid_to`; None is open.

    A price with a `condition` on the single request is listed and never looked up: daily sums cannot meet it. A list in
    another currency is a list of its own, not a conversion. `hours_utc` says in words when a tier by the hour holds.
    """

    model_id: str
    service_tier: str = DEFAULT_TIER
    condition: str | None = None
    valid_from: date | None = None
    valid_to: date | None = None
    currency: str = MAIN_CURRENCY
    rates: Mapping[str, Decimal] = field(default_factory=dict)
    source: str | None = None
    hours_utc: str | None = None

    @property
    def meter(self) -> tuple[str, str, str | None, str]:
        """What is priced: on any day, one price of it holds at most."""
        return self.model_id, self.service_tier, self.condition, self.currency

    @cached_property
    def version(self) -> str:
        """Twelve hex characters that change with anything that changes a cost."""
        rates = [f"{name}={format_amount(amount)}" for name, amount in sorted(self.rates.items())]
        span = f"{self.valid_from}..{self.valid_to}"
        return digest(self.model_id, self.service_tier, self.condition or "", span, self.currency, *rates)[:12]

    def holds_on(self, day: date) -> bool:
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_to is None or day < self.valid_to)

    def overlaps(self, other: Price) -> bool:
        """Whether both price the same model, tier and condition in the same currency on some day."""
        spans = (self.valid_from, self.valid_to), (other.valid_from, other.valid_to)
        return self.meter == other.meter and spans_meet(*spans)


class PriceBook:
    """Prices by model. Finding a model's entry is remembered: there are few models and many rows."""

    def __init__(self, prices: Iterable[Price]) -> None:
        self._prices: dict[str, list[Price]] = {}
        for price in sorted(prices, key=lambda price: price.currency != MAIN_CURRENCY):
            if price.condition is None:
                self._prices.setdefault(price.model_id, []).append(price)
        self._entries: dict[str, str | None] = {}

    def find(
        self, model: str, day: date, *, service_tier: str = DEFAULT_TIER, currency: str | None = None
    ) -> Price | None:
        """The price of a model on a day; None where the book has none for it, at that tier, in that currency.

        Without a currency: in US dollars, or in another one where there is none.
        """
        entry = self.entry(model)
        for price in self._prices.get(entry, ()) if entry else ():
            is_currency = currency in (None, price.currency)
            if is_currency and price.service_tier == service_tier and price.holds_on(day):
                return price
        return None

    def entry(self, model: str) -> str | None:
        """The model_id that prices a model: itself, or the longest one of which it is a release or an alias."""
        if model not in self._entries:
            names = [name for name in self._prices if is_release(model, name)]
            self._entries[model] = max(names, key=len, default=None)
        return self._entries[model]


def is_release(model: str, name: str) -> bool:
    """Whether `model` is `name`, one of its dated releases, or made from it. A name that ends in - takes any ending."""
    if not model.startswith(name):
        return False
    rest = model[len(name) :]
    return not rest or name.endswith("-") or _RELEASE.fullmatch(rest) is not None


def family(model: str) -> str:
    """A model's name without the date of its release."""
    return re.sub(r"(?:-\d{4}-\d{2}-\d{2}|-\d{8}|-\d{4})$", "", model)
