"""What the Messages API measures: six disjoint counts of every row."""

from __future__ import annotations

from convergence.simulator.anthropic.prices import OFFERS, Offer
from convergence.simulator.traffic import Measures, Noise

TOKEN_TYPES = (
    "uncached_input_tokens",
    "cache_creation.ephemeral_5m_input_tokens",
    "cache_creation.ephemeral_1h_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
)
WEB_SEARCH = len(TOKEN_TYPES)
"""The place of the count that is no token."""

FIELDS = (*TOKEN_TYPES, "server_tool_use.web_search_requests")


class MessagesStream:
    """Every offer is a variant."""

    name = "messages"
    variants = OFFERS

    def measure(self, offer: Offer, noise: Noise, /) -> Measures:
        requests = 1 + (noise.a * noise.volume >> 15)
        whole = requests * (400 + noise.b % 3_600)
        read = whole * (noise.c % 70) // 100
        write_5m = (whole - read) * (noise.d % 30) // 100
        write_1h = (whole - read) * (noise.d % 7) // 100
        output = requests * (30 + noise.e % 700)
        searches = requests * (noise.e % 5) // 40 if offer.searches else 0
        return whole - read - write_5m - write_1h, write_5m, write_1h, read, output, searches


MESSAGES = MessagesStream()
