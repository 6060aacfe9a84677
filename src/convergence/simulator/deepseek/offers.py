"""What the simulated DeepSeek charges, in whole pico-units of the account's currency, by the hour of the day.

The figures are the public list prices of November 2026, for a million tokens. The product has its own price book and
the two are compared, so neither may read the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from convergence.simulator.amounts import pico_a_token
from convergence.simulator.traffic import Measures, Noise

HIT, MISS, OUTPUT, REQUESTS = range(4)
TYPES = ("input_cache_hit_tokens", "input_cache_miss_tokens", "output_tokens", "request_count")
NEW_TYPE = "web_search_calls"
NEW_TYPE_PRICE = "5000"  # for a million of them
_PEAK_HOURS = frozenset({1, 2, 3, 6, 7, 8, 9})
_SATURDAY = 5


class Rate(NamedTuple):
    """Text, for a million tokens, in the order of TYPES."""

    hit: str
    miss: str
    output: str

    def pico(self, measure: int) -> int:
        """What one token of the measure costs; requests cost nothing."""
        return pico_a_token(self[measure]) if measure < len(self) else 0


@dataclass(frozen=True, slots=True)
class Offer:
    """A model in or outside the peak. Without a public price it is charged all the same."""

    model: str
    usd: Rate
    cny: Rate
    is_peak: bool = False
    share: int = 100
    is_public: bool = True

    def rate(self, currency: str) -> Rate:
        return self.usd if currency == "USD" else self.cny


OFFERS = (
    Offer("deepseek-flash", Rate("0.003", "0.15", "0.6"), Rate("0.02", "1", "4"), share=400),
    Offer("deepseek-flash", Rate("0.006", "0.3", "1.2"), Rate("0.04", "2", "8"), is_peak=True, share=250),
    Offer("deepseek-v4-pro", Rate("0.022", "0.66", "1.98"), Rate("0.15", "4.5", "13.5"), share=120),
    Offer("deepseek-v4-pro", Rate("0.044", "1.32", "3.96"), Rate("0.3", "9", "27"), is_peak=True, share=80),
    Offer("deepseek-nightjar", Rate("0.01", "0.4", "1.6"), Rate("0.08", "3", "12"), share=30, is_public=False),
)


class ChatStream:
    """Every offer is a variant."""

    name = "chat"
    variants = OFFERS

    def measure(self, _offer: Offer, noise: Noise, /) -> Measures:
        requests = 24 + (noise.a * noise.volume >> 14)
        whole = requests * (300 + noise.b % 4_000)
        hit = whole * (noise.c % 80) // 100
        return hit, whole - hit, requests * (40 + noise.d % 900), requests


CHAT = ChatStream()


def hours_of(offer: Offer, day: datetime) -> list[int]:
    """The hours of a UTC day in which the offer holds: weekends have no peak."""
    peak = _PEAK_HOURS if day.weekday() < _SATURDAY else frozenset[int]()
    return [hour for hour in range(24) if (hour in peak) == offer.is_peak]
