"""Usage rows priced by a price book: each kind of row is looked up once, and what had no price is remembered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from convergence.costs.allocation import multiply
from convergence.costs.kinds import flatten, number_kinds
from convergence.costs.prices.book import Price, PriceBook

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TokenClass:
    """A class. The first of `rates` that a price has is its price per `per` units.

    `tool` is the price book's entry where the class has no model or the model's entry has none of the rates.
    """

    name: str
    rates: tuple[str, ...]
    batch_rates: tuple[str, ...] = ()
    per: int = 1_000_000
    pricing_unit: str = "1000000 Tokens"
    tool: str | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """A list price and where it stands in the book."""

    unit_price: Decimal
    per: int
    pricing_unit: str
    currency: str
    version: str


def read_rate(price: Price | None, wanted: TokenClass, rates: Sequence[str]) -> Quote | None:
    """The first of the rates that the price has; None where it has none: an unknown price is not a price of nothing."""
    found = next((price.rates[rate] for rate in rates if rate in price.rates), None) if price is not None else None
    if price is None or found is None:
        return None
    return Quote(found, wanted.per, wanted.pricing_unit, price.currency, price.version)


class Pricing:
    """`quoted` are the columns that a price depends on, `quote` finds the price of one combination of them."""

    def __init__(
        self,
        prices: Iterable[Price],
        quoted: Sequence[str],
        quote: Callable[[PriceBook, Kind], Quote | None],
    ) -> None:
        prices = list(prices)
        self._book = PriceBook(prices)
        self._quoted = tuple(quoted)
        self._ask = quote
        self._conditional = {price.model_id for price in prices if price.condition is not None}
        self._unpriced: dict[str, set[str]] = {}
        self._base_only: set[str] = set()

    def apply(self, rows: pa.Table) -> pa.Table:
        """The rows with list_unit_price, pricing_unit, list_cost, currency and price_version; null where unpriced."""
        kinds, place = number_kinds(rows, self._quoted)
        for name, values in _columns([self._quote(kind) for kind in kinds]).items():
            rows = rows.append_column(name, values.take(place))
        cost = multiply(flatten(rows["quantity"]), flatten(rows["list_unit_price"]), flatten(rows["per"]))
        return rows.append_column("list_cost", cost).drop_columns(["per"])

    def _quote(self, kind: Kind) -> Quote | None:
        model = kind["model"]
        found = self._ask(self._book, kind)
        if found is None:
            self._unpriced.setdefault(model or "no model", set()).add(kind["token_class"])
        elif model is not None and self._book.entry(model) in self._conditional:
            self._base_only.add(model)
        return found

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(
            f"no list price for {model} ({', '.join(sorted(classes))}): its list_cost is null"
            for model, classes in sorted(self._unpriced.items())
        )

    @property
    def metadata(self) -> dict[str, Any]:
        """`base_price_only` are models whose price by condition depends on the request and was not applied."""
        return {"unpriced_models": sorted(self._unpriced), "base_price_only": sorted(self._base_only)}


def _columns(quotes: list[Quote | None]) -> dict[str, pa.Array]:
    import pyarrow as pa

    def column(name: str, kind: pa.DataType) -> pa.Array:
        return pa.array([None if item is None else getattr(item, name) for item in quotes], kind)

    return {
        "list_unit_price": column("unit_price", pa.decimal128(38, 9)),
        "per": column("per", pa.int64()),
        "pricing_unit": column("pricing_unit", pa.string()),
        "currency": column("currency", pa.string()),
        "price_version": column("version", pa.string()),
    }
