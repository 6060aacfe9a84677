"""Accounts of which usage times price tells everything: no fees, credits, commitments or models without a price."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from convergence.simulator import AnthropicWorld, OpenAIWorld
from convergence.simulator.anthropic import charges as anthropic_charges
from convergence.simulator.anthropic.prices import OFFERS, PRIORITY
from convergence.simulator.openai.charges import LINES
from convergence.simulator.openai.charges import CostRow as OpenAICostRow
from convergence.simulator.openai.streams import Stream
from convergence.simulator.traffic import Row


class PlainOpenAI(OpenAIWorld):
    """`overcharge` is in percent."""

    overcharge = 0

    def rows(self, stream: Stream, day: date) -> list[Row]:
        if stream.name != "completions":
            return []
        return [row for row in super().rows(stream, day) if _is_public(stream, row)]

    def costs(self, day: date) -> list[OpenAICostRow]:
        rows = (row for row in super().costs(day) if LINES[row.line].is_public)
        return [row._replace(amount=row.amount * (100 + self.overcharge) // 100) for row in rows]


class PlainAnthropic(AnthropicWorld):
    """`overcharge` is in percent."""

    overcharge = 0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options, us_inference=False)

    def rows(self, day: date) -> list[Row]:
        offers = ((row, OFFERS[row.variant]) for row in super().rows(day))
        return [row for row, offer in offers if offer.tier != PRIORITY and offer.is_public]

    def costs_until(self, day: date, now: datetime) -> list[anthropic_charges.CostRow]:
        rows = (row for row in super().costs_until(day, now) if row.line.is_public)
        return [row._replace(amount=row.amount * (100 + self.overcharge) // 100) for row in rows]


def _is_public(stream: Stream, row: Row) -> bool:
    return all(charge.line.is_public for charge in stream.variants[row.variant].charges)
