"""Published price lists, as the genai-prices package has them, in the columns of our price books."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from convergence.costs.prices.book import DEFAULT_TIER, Price
from convergence.errors import UnsupportedError
from convergence.kit.money import is_exact

if TYPE_CHECKING:
    from genai_prices import types

PACKAGE: Final = "genai-prices"
_COLUMNS: Final = {
    "input_mtok": ("input_per_million",),
    "cache_read_mtok": ("cached_input_per_million",),
    "cache_write_mtok": ("cache_write_per_million", "cache_write_5m_per_million"),
    "cache_write_1h_mtok": ("cache_write_1h_per_million",),
    "output_mtok": ("output_per_million",),
    "input_audio_mtok": ("audio_input_per_million",),
    "cache_audio_read_mtok": ("cached_audio_input_per_million",),
    "output_audio_mtok": ("audio_output_per_million",),
    "input_mchars": ("characters_per_million",),
    "web_searches_kcount": ("web_search_per_thousand",),
}
_LONG_CONTEXT: Final = {("anthropic", 200_000): "long_context"}  # usage is reported by this window, so it is a tier
_WRONG: Final = {
    "deepseek": "its peak hours know no weekdays and begin before there were any; other prices are those of resellers"
}


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """A model's prices under `name`. It may stand in a book under another of its names, which `info` knows."""

    name: str
    prices: tuple[Price, ...]
    info: types.ModelInfo = field(repr=False)

    def is_called(self, model_id: str) -> bool:
        return model_id == self.name or self.info.is_match(model_id)


@dataclass(frozen=True, slots=True)
class PublishedList:
    """What one version of the package says of a provider. `left_out` has models, or all of them, with the reason."""

    source: str
    models: tuple[PublishedModel, ...]
    left_out: Mapping[str, str]


def read_published(provider: str, columns: Collection[str]) -> PublishedList:
    """The list of a provider, as far as the price book's columns can hold it.

    The package dates batch and tier prices by the day on which it learned them: those dates are not taken.

    Raises:
        UnsupportedError: the package is not installed.
    """
    try:
        import genai_prices
        from genai_prices.data import providers
    except ImportError as error:
        raise UnsupportedError(
            f"{PACKAGE} is not installed", code="prices_missing", hint="pip install 'convergence[prices]'"
        ) from error
    source = f"{PACKAGE} {genai_prices.__version__}"
    if provider in _WRONG:
        return PublishedList(source, (), {"all models": _WRONG[provider]})
    infos = next((found.models for found in providers if found.id == provider), [])
    reader = _Reader(provider, frozenset(columns), source)
    usable = [info for info in infos if not _has_hours(info)]
    left_out = {info.id: "prices by the hour, without their weekdays" for info in infos if _has_hours(info)}
    return PublishedList(source, tuple(reader.read(info) for info in usable), left_out)


@dataclass(frozen=True, slots=True)
class _Reader:
    provider: str
    columns: frozenset[str]
    source: str

    def read(self, info: types.ModelInfo) -> PublishedModel:
        name = info.id.removesuffix("-latest")
        return PublishedModel(name, tuple(self._prices(name, info)), info)

    def _prices(self, name: str, info: types.ModelInfo) -> Iterator[Price]:
        """The base prices one after the other; batch and tiers beside the last one, which alone they are known for."""
        spans = _spans(info)
        for place, (start, end, prices) in enumerate(spans):
            is_last = place == len(spans) - 1
            batch = _variant(info, "processing", "batch") if is_last else None
            for tier, condition, limit in self._ranges(prices):
                rates = self._rates(prices, limit) | (self._batch_rates(batch, limit) if batch else {})
                yield Price(name, tier, condition, start, end, rates=rates, source=self.source)
        start, end, _ = spans[-1]
        for tier, variant in _tiers(info):
            if rates := self._rates(variant, 0):
                yield Price(name, tier, None, start, end, rates=rates, source=self.source)

    def _ranges(self, prices: types.ModelPrice) -> Iterator[tuple[str, str | None, int]]:
        """Service tier, condition and least input of each part of a price that depends on the size of a request."""
        yield DEFAULT_TIER, None, 0
        for limit in sorted(
            {tier.start for value in _amounts(prices).values() for tier in getattr(value, "tiers", ())}
        ):
            long_context = _LONG_CONTEXT.get((self.provider, limit))
            if long_context is not None:
                yield long_context, None, limit
            else:
                yield DEFAULT_TIER, f"request input_tokens>{limit}", limit

    def _rates(self, prices: types.ModelPrice, limit: int, prefix: str = "") -> dict[str, Decimal]:
        found = {
            prefix + column: _amount(value, limit)
            for key, value in _amounts(prices).items()
            for column in _COLUMNS.get(key, ())
            if prefix + column in self.columns
        }
        return {column: amount for column, amount in found.items() if is_exact(amount)}

    def _batch_rates(self, prices: types.ModelPrice, limit: int) -> dict[str, Decimal]:
        return self._rates(prices, limit, "batch_")


def _spans(info: types.ModelInfo) -> list[tuple[date | None, date | None, types.ModelPrice]]:
    if not isinstance(info.prices, list):
        return [(None, None, info.prices)]
    starts = [getattr(conditional.constraint, "start_date", None) for conditional in info.prices]
    return [
        (start, end, conditional.prices)
        for start, end, conditional in zip(starts, [*starts[1:], None], info.prices, strict=True)
    ]


def _has_hours(info: types.ModelInfo) -> bool:
    conditionals = info.prices if isinstance(info.prices, list) else []
    return any(hasattr(conditional.constraint, "start_time") for conditional in conditionals)


def _variant(info: types.ModelInfo, name: str, value: str) -> types.ModelPrice | None:
    found = (variant.prices for variant in info.price_variants or () if variant.when == {name: value})
    return next(found, None)


def _tiers(info: types.ModelInfo) -> Iterator[tuple[str, types.ModelPrice]]:
    for variant in info.price_variants or ():
        for name in ("service_tier", "speed"):
            if name in variant.when and variant.when[name] != DEFAULT_TIER:
                yield variant.when[name], variant.prices


def _amounts(prices: types.ModelPrice) -> Mapping[str, Decimal | types.TieredPrices]:
    return {key: value for key, value in vars(prices).items() if value is not None}


def _amount(value: Decimal | types.TieredPrices, limit: int) -> Decimal:
    """The price of a request with more than `limit` input tokens."""
    if isinstance(value, Decimal):
        return value
    reached: Iterable[Decimal] = (tier.price for tier in value.tiers if tier.start <= limit and limit)
    return max(reached, default=value.base)
