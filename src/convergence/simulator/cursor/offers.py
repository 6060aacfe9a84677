"""What the simulated Cursor charges for and how, in ten-millionths of a dollar: five decimals of a cent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from convergence.simulator.amounts import pico_a_token, round_pico
from convergence.simulator.traffic import Measures, Noise

PLACES = 7
CENT_PLACES = 5
USAGE_BASED = "Usage-based"
INCLUDED = "Included in Business"
NOT_CHARGED = "Errored, Not Charged"
TOKENS = ("input_tokens", "output_tokens", "cache_write_tokens", "cache_read_tokens")
_TENTH_OF_A_REQUEST = 40_000  # four cents a request
_FEE_PICO = pico_a_token("0.25")


class Rate(NamedTuple):
    """Dollars for a million tokens, as text, in the order of TOKENS."""

    uncached: str
    output: str
    write: str
    read: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A model and how it is charged. Without a rate it is counted in requests; `discount` is in percent."""

    model: str
    kind: str
    rate: Rate | None = None
    share: int = 100
    discount: int = 0
    max_mode: bool = False
    has_fee: bool = True

    @property
    def is_chargeable(self) -> bool:
        return self.kind == USAGE_BASED


class Price(NamedTuple):
    """What an event costs. `total` is before the discount and without the fee."""

    total: int
    fee: int
    charged: int

    @property
    def listed(self) -> int:
        return self.total + self.fee if self.total else self.charged


_SONNET = Rate("3", "15", "3.75", "0.3")
_GPT_5 = Rate("1.25", "10", "1.25", "0.125")
_HOUSE = Rate("1.25", "6", "1.25", "0.25")

OFFERS = (
    Offer("claude-4.5-sonnet", USAGE_BASED, _SONNET, share=200, max_mode=True),
    Offer("claude-4.5-sonnet", INCLUDED, _SONNET, share=300),
    Offer("claude-4-sonnet-thinking", INCLUDED, share=60),
    Offer("gpt-5", USAGE_BASED, _GPT_5, share=150),
    Offer("gpt-5", USAGE_BASED, _GPT_5, share=90, discount=10, max_mode=True),
    Offer("auto", INCLUDED, _HOUSE, share=250, has_fee=False),
    Offer("nightjar-1", USAGE_BASED, _HOUSE, share=80, has_fee=False),
    Offer("gpt-4.1", USAGE_BASED, share=50),
    Offer("gpt-5", NOT_CHARGED, share=20),
)


class EventStream:
    """Every offer is a variant. The last measure is tenths of request units."""

    name = "events"
    variants = OFFERS

    def measure(self, offer: Offer, noise: Noise, /) -> Measures:
        tenths = 10 + noise.e % 40
        if offer.rate is None:
            return 0, 0, 0, 0, 0 if offer.kind == NOT_CHARGED else tenths
        size = 1 + (noise.volume >> 4)
        return (
            size * (60 + noise.a % 900),
            size * (30 + noise.b % 500),
            size * (noise.c % 1_200),
            size * (noise.d % 4_000),
            tenths,
        )


EVENTS = EventStream()


def price(offer: Offer, measures: Measures) -> Price:
    """The provider's own arithmetic."""
    *tokens, tenths = measures
    if offer.rate is None:
        return Price(0, 0, tenths * _TENTH_OF_A_REQUEST)
    total = round_pico(sum(count * pico_a_token(rate) for count, rate in zip(tokens, offer.rate, strict=True)), PLACES)
    fee = round_pico(sum(tokens) * _FEE_PICO, PLACES) if offer.has_fee else 0
    return Price(total, fee, (total * (100 - offer.discount) + 50) // 100 + fee)
