"""What the simulated provider charges, in whole picodollars so that sums of integers are exact.

The figures are the public list prices of November 2026, a million tokens at a time. The product has its own price book
and the two are compared, so neither may read the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from convergence.simulator.amounts import pico, pico_a_token

GLOBAL, US = "global", "us"
SHORT, LONG = "0-200k", "200k-1M"
STANDARD, BATCH, PRIORITY = "standard", "batch", "priority"


class Rate(NamedTuple):
    """Dollars for a million tokens, as text: one for each token measure of a row."""

    uncached: str
    write_5m: str
    write_1h: str
    read: str
    output: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A model at a tier, context window and place. `uplift` is what the place adds to the public price, in percent.

    A model without a public price is charged all the same; the Priority Tier is committed to and never charged here.
    """

    model: str
    name: str
    rate: Rate
    tier: str = STANDARD
    context: str = SHORT
    geo: str = GLOBAL
    share: int = 100
    uplift: int = 0
    is_public: bool = True
    searches: bool = False

    def charge_pico(self, measure: int) -> int:
        """Picodollars a token that the provider charges."""
        return self.list_pico(measure) * (100 + self.uplift) // 100

    def list_pico(self, measure: int) -> int:
        """Picodollars a token by the public list."""
        return pico_a_token(self.rate[measure])


UNPRICED_MODEL = "claude-nightjar-preview"
WEB_SEARCH_PICO = pico("0.01")
CODE_EXECUTION_PICO = pico("0.05")
SESSION_PICO = pico("0.000022222")

_OPUS = Rate("5", "6.25", "10", "0.5", "25")
_OPUS_BATCH = Rate("2.5", "3.125", "5", "0.25", "12.5")
_SONNET = Rate("2", "2.5", "4", "0.2", "10")
_SONNET_BATCH = Rate("1", "1.25", "2", "0.1", "5")
_HAIKU = Rate("1", "1.25", "2", "0.1", "5")
_HAIKU_BATCH = Rate("0.5", "0.625", "1", "0.05", "2.5")
_SONNET_4 = Rate("3", "3.75", "6", "0.3", "15")
_SONNET_4_LONG = Rate("6", "7.5", "12", "0.6", "22.5")

OFFERS = (
    Offer("claude-opus-4-8", "Claude Opus 4.8", _OPUS, searches=True),
    Offer("claude-opus-4-8", "Claude Opus 4.8", _OPUS_BATCH, tier=BATCH, share=40),
    Offer("claude-opus-4-8", "Claude Opus 4.8", _OPUS, geo=US, share=30, uplift=10),
    Offer("claude-sonnet-5", "Claude Sonnet 5", _SONNET, share=300, searches=True),
    Offer("claude-sonnet-5", "Claude Sonnet 5", _SONNET_BATCH, tier=BATCH, share=200),
    Offer("claude-sonnet-5", "Claude Sonnet 5", _SONNET, tier=PRIORITY, share=80),
    Offer("claude-sonnet-5", "Claude Sonnet 5", _SONNET, context=LONG, share=20),
    Offer("claude-haiku-4-5-20251001", "Claude Haiku 4.5", _HAIKU, share=600),
    Offer("claude-haiku-4-5-20251001", "Claude Haiku 4.5", _HAIKU_BATCH, tier=BATCH, share=500),
    Offer("claude-sonnet-4-5-20250929", "Claude Sonnet 4.5", _SONNET_4, share=120, searches=True),
    Offer("claude-sonnet-4-5-20250929", "Claude Sonnet 4.5", _SONNET_4_LONG, context=LONG, share=15),
    Offer("claude-sonnet-4-20250514", "Claude Sonnet 4", _SONNET_4, share=60),
    Offer(UNPRICED_MODEL, "Claude Nightjar", _SONNET_4, share=20, is_public=False),
)
