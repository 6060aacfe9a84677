"""What the simulated provider charges, in whole picodollars a unit so that sums of integers are exact.

The figures are the public list prices of November 2026, a million tokens at a time. The product has its own price book
and the two are compared, so neither may read the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from convergence.simulator.amounts import pico_a_token


class Rate(NamedTuple):
    """Dollars for a million tokens, as text. None: the model does not do it at this tier."""

    input: str
    output: str
    cached: str | None = None
    write: str | None = None
    audio_input: str | None = None
    audio_output: str | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """A model at a tier. A model without a public price is charged all the same."""

    model: str
    rate: Rate
    batch: bool = False
    service_tier: str = "default"
    share: int = 100
    sees_images: bool = False
    is_public: bool = True

    @property
    def prefix(self) -> str:
        """How line items of this tier begin."""
        if self.batch:
            return "batch "
        return "" if self.service_tier == "default" else f"{self.service_tier} "


UNPRICED_MODEL = "gpt-nightjar-preview"

OFFERS = (
    Offer("gpt-5.4", Rate("2.5", "15", "0.25"), sees_images=True),
    Offer("gpt-5.4", Rate("1.25", "7.5", "0.13"), batch=True, share=60),
    Offer("gpt-5.4", Rate("1.25", "7.5", "0.13"), service_tier="flex", share=30),
    Offer("gpt-5.4", Rate("5", "30", "0.5"), service_tier="priority", share=10),
    Offer("gpt-5-mini", Rate("0.25", "2", "0.025"), share=400),
    Offer("gpt-5-mini", Rate("0.125", "1", "0.0125"), batch=True, share=300),
    Offer("gpt-5-mini", Rate("0.125", "1", "0.0125"), service_tier="flex", share=80),
    Offer("gpt-5-mini", Rate("0.45", "3.6", "0.045"), service_tier="priority", share=60),
    Offer("gpt-5-nano", Rate("0.05", "0.4", "0.005"), share=900),
    Offer("gpt-5-nano", Rate("0.025", "0.2", "0.0025"), batch=True, share=600),
    Offer("gpt-5.6-terra", Rate("2", "12", "0.2", "2.5"), share=120),
    Offer("gpt-5.6-terra", Rate("1", "6", "0.1", "1.25"), service_tier="flex", share=40),
    Offer("gpt-5.6-terra", Rate("4", "24", "0.4", "5"), service_tier="priority", share=15),
    Offer("gpt-6.1-sol", Rate("2", "10", "0.1", "2.5"), share=70, sees_images=True),
    Offer("gpt-4.1", Rate("2", "8", "0.5"), share=90),
    Offer("gpt-4.1", Rate("1", "4"), batch=True, share=60),
    Offer("gpt-4.1-mini", Rate("0.4", "1.6", "0.1"), share=200),
    Offer("gpt-4o-mini", Rate("0.15", "0.6", "0.075"), share=500),
    Offer("gpt-4o-mini", Rate("0.075", "0.3"), batch=True, share=300),
    Offer("gpt-4o-mini", Rate("0.25", "1", "0.125"), service_tier="priority", share=50),
    Offer("gpt-4o-2024-05-13", Rate("5", "15"), share=20),
    Offer("o4-mini", Rate("1.1", "4.4", "0.275"), share=60),
    Offer("gpt-realtime", Rate("4", "16", "0.4", None, "32", "64"), share=10),
    Offer(UNPRICED_MODEL, Rate("3", "12", "0.3"), share=25, is_public=False),
)

EMBEDDINGS = {"text-embedding-3-small": "0.02", "text-embedding-3-large": "0.13"}
MODERATION_MODEL = "omni-moderation-latest"
IMAGE_MODEL = "gpt-image-1"
IMAGE_PRICES = {"1024x1024": "0.042", "1024x1536": "0.063"}
SPEECH_MODEL, SPEECH_PRICE_PER_CHARACTER = "tts-1", "0.000015"
TRANSCRIPTION_MODEL, TRANSCRIPTION_PRICE_PER_SECOND = "whisper-1", "0.0001"
WEB_SEARCH_PRICE, FILE_SEARCH_PRICE, SESSION_PRICE = "0.01", "0.0025", "0.03"
STORAGE_PRICE_PER_GIB_DAY = "0.1"

UPLIFT_ITEM = "regional processing uplift"
CREDIT_ITEM = "promotional credit"


class Line(NamedTuple):
    """One line item of the invoice."""

    text: str
    model: str | None
    unit: str | None
    is_public: bool = True


class Charge(NamedTuple):
    """The sum of these measures x `price` / `per`, in picodollars, goes to a line."""

    line: Line
    price: int
    measures: tuple[int, ...]
    per: int = 1


def token_charges(offer: Offer) -> Iterator[Charge]:
    """Charges of a completions row; the numbers are positions in its measures."""
    rate = offer.rate
    parts = (
        ("input", rate.input, (0, 2)),
        ("audio input", rate.audio_input, (1,)),
        ("cached input", rate.cached, (3, 4, 5)),
        ("cache write", rate.write, (6,)),
        ("output", rate.output, (7, 9)),
        ("audio output", rate.audio_output, (8,)),
    )
    for name, price, measures in parts:
        if price is not None:
            line = Line(f"{offer.model}, {offer.prefix}{name}", offer.model, "tokens", offer.is_public)
            yield Charge(line, pico_a_token(price), measures)
