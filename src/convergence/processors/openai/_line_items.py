"""What a line item of the cost report bills: OpenAI says it in words only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from convergence.costs.prices.book import family

_IMAGE_SIZE = re.compile(r"\d+x\d+")
_TIERS = frozenset({"batch", "flex", "priority", "fast", "scale"})
_FILLERS = frozenset({"tokens", "token", "text", "tier", "api", "uncached", "usage", "standard", "default"})

# Classes by how well they fit: tokens that no line of their own bills are part of the plainer line.
_ALL_INPUT = ("input", "input_audio", "cached_input", "cached_input_audio", "cache_write")
_CLASSES_BY_WORDS: dict[frozenset[str], tuple[str, ...]] = {
    frozenset({"input"}): _ALL_INPUT,
    frozenset({"image", "input"}): ("input",),
    frozenset({"audio", "input"}): ("input_audio", "cached_input_audio"),
    frozenset({"cached", "input"}): ("cached_input", "cached_input_audio"),
    frozenset({"cache", "read", "input"}): ("cached_input", "cached_input_audio"),
    frozenset({"cached", "audio", "input"}): ("cached_input_audio",),
    frozenset({"cache", "write"}): ("cache_write",),
    frozenset({"cache", "writes"}): ("cache_write",),
    frozenset({"cache", "write", "input"}): ("cache_write",),
    frozenset({"output"}): ("output", "output_audio"),
    frozenset({"image", "output"}): ("output",),
    frozenset({"audio", "output"}): ("output_audio",),
    frozenset({"images"}): ("images",),
    frozenset({"image"}): ("images",),
    frozenset({"image", "generation"}): ("images",),
    frozenset({"characters"}): ("characters",),
    frozenset({"speech"}): ("characters",),
    frozenset({"seconds"}): ("seconds",),
    frozenset({"minutes"}): ("seconds",),
    frozenset({"duration"}): ("seconds",),
    frozenset({"transcription"}): ("seconds",),
    frozenset({"audio", "seconds"}): ("seconds",),
    frozenset({"web", "search"}): ("web_search",),
    frozenset({"web", "search", "calls"}): ("web_search",),
}

# Line items that name no model. The first phrase found in the text decides.
_METERS_BY_PHRASE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("web search", ("web_search",)),
    ("file search storage", ("storage",)),
    ("file search", ("file_search",)),
    ("vector store", ("storage",)),
    ("code interpreter", ("sessions",)),
    ("text tokens", ("input", "cached_input", "cache_write", "output")),
    ("audio tokens", ("input_audio", "cached_input_audio", "output_audio")),
)


@dataclass(frozen=True, slots=True)
class LineItem:
    """A line item in our words. No classes at all: what it bills cannot be told."""

    model: str | None = None
    classes: tuple[str, ...] = ()
    variant: str | None = None


class Meter(NamedTuple):
    """What usage rows of one kind have in common, as far as bills tell them apart."""

    model: str | None
    variant: str  # the image size, batch, or the service tier
    token_class: str


class Match(NamedTuple):
    """A line item that may bill a meter. The lower the rank, the better they fit."""

    line_item: str
    meter: int
    rank: int


def parse_line_item(text: str | None) -> LineItem:
    """`gpt-5-mini, batch cached input` is a model, a variant and a class; `Web search tool calls` a class alone."""
    plain = " ".join((text or "").replace("_", " ").lower().split())
    for phrase, classes in _METERS_BY_PHRASE:
        if plain.startswith(phrase):
            return LineItem(None, classes)
    model, comma, rest = (text or "").partition(",")
    if not comma:
        return LineItem()
    words = set(rest.replace("_", " ").replace("-", " ").lower().split())
    variants = {word for word in words if word in _TIERS or _IMAGE_SIZE.fullmatch(word)}
    classes = _CLASSES_BY_WORDS.get(frozenset(words - variants - _FILLERS), ())
    return LineItem(model.strip(), classes, min(variants, default=None))


def match_line_items(line_items: Iterable[str], meters: list[Meter]) -> list[Match]:
    """Every line item with the meters it may bill."""
    by_class: dict[str, list[int]] = {}
    for number, meter in enumerate(meters):
        by_class.setdefault(meter.token_class, []).append(number)
    return [
        Match(text, number, rank)
        for text in line_items
        for item in (parse_line_item(text),)
        for fit, token_class in enumerate(item.classes)
        for number in by_class.get(token_class, ())
        if (rank := _rank(item, meters[number], fit)) is not None
    ]


def _rank(item: LineItem, meter: Meter, fit: int) -> int | None:
    """The model counts most, then the class, then the variant."""
    model = _rank_model(item.model, meter.model)
    if model is None or (item.variant is not None and item.variant != meter.variant):
        return None
    is_silent = item.variant is None and meter.variant != "default"
    return model * 100 + fit * 10 + int(is_silent)


def _rank_model(billed: str | None, used: str | None) -> int | None:
    """A line for a model without a date bills its dated releases too; a line for a date bills that one only."""
    if billed is None:
        return 2
    if used is None:
        return None
    if billed == used:
        return 0
    return 1 if family(used) == billed else None
