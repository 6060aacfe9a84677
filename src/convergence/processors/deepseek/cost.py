"""deepseek.cost: what the cost file says, handed to the keys of the amount file, beside list cost by the price book."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict

from convergence.costs.allocation import multiply
from convergence.costs.attribution import attribute_pairs, number_rows
from convergence.costs.daily import CostSource, publish_costs
from convergence.costs.kinds import flatten
from convergence.costs.prices.book import DEFAULT_TIER, Price, PriceBook
from convergence.costs.prices.pricing import Kind, Quote
from convergence.processors.deepseek._client import PROVIDER
from convergence.processors.deepseek.export import REPORTED_TABLE, USAGE_STREAM, USAGE_TABLE
from convergence.steps import StepContext, StepResult

if TYPE_CHECKING:
    import pyarrow as pa

_MILLION: Final = 10**6
_TIERS: Final = (DEFAULT_TIER, "peak", "off_peak")
_RATES: Final = {
    "input": "input_per_million",
    "cached_input": "cached_input_per_million",
    "output": "output_per_million",
}
_UNKNOWN_CURRENCY: Final = "XXX"
_QUOTED: Final = ("usage_date", "model", "token_class", "unit", "charged_unit_price", "account_currency")
_SHARED: Final = ("usage_date", "account_id", "model")


class Config(BaseModel):
    """The days are the run's, or those of its file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def get_engine() -> CostProcessor:
    return CostProcessor()


class CostProcessor:
    """A few days at a time."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        Config.model_validate(step_config)
        charges = Charges()
        source = CostSource(
            provider=PROVIDER,
            usage_table=USAGE_TABLE,
            usage_stream=USAGE_STREAM,
            reported_table=REPORTED_TABLE,
            quoted=_QUOTED,
            quote=charges.quote,
            attribute=charges.attribute,
        )
        return await publish_costs(context, source, context.days)


class Charges:
    """List prices beside charged ones. The export says what was charged, the price book what was public."""

    def __init__(self) -> None:
        self._tiers: dict[str, str] = {}  # of a price, by its version

    def quote(self, book: PriceBook, kind: Kind) -> Quote | None:
        """The price of the tier that was charged; the charged price where the book has none in its currency."""
        charged, unit = kind["charged_unit_price"], f"{_MILLION} {kind['unit']}"
        currency, rate = kind["account_currency"], _RATES.get(kind["token_class"])
        found = [] if rate is None or currency == _UNKNOWN_CURRENCY else _find(book, kind, currency, rate)
        price = next((price for price in found if price.rates[str(rate)] == charged), next(iter(found), None))
        if price is not None and rate is not None:
            self._tiers[price.version] = price.service_tier
            return Quote(price.rates[rate], _MILLION, unit, price.currency, price.version)
        return None if charged is None else Quote(charged, _MILLION, unit, currency, "")

    def attribute(self, items: pa.Table, usage: pa.Table) -> pa.Table:
        """Rows of the cost table, without lineage. Shares are by what the export says was charged for each row."""
        items, usage = number_rows(items, self._weigh(usage))
        pairs = items.select([*_SHARED, "item"]).join(usage.select([*_SHARED, "row"]), list(_SHARED), join_type="inner")
        rows = attribute_pairs(items, usage, _rank(pairs), ("wallet_type",))
        return self._list(rows)

    def _weigh(self, usage: pa.Table) -> pa.Table:
        """What was charged stands in for list cost while amounts are split; what has no price was not charged."""
        import pyarrow.compute as pc

        charged = _cost(usage, "charged_unit_price")
        usage = _set(usage, "list_cost", pc.fill_null(charged, _zero()))
        return _set(usage, "currency", pc.coalesce(usage["currency"], usage["account_currency"]))

    def _list(self, rows: pa.Table) -> pa.Table:
        import pyarrow as pa
        import pyarrow.compute as pc

        rows = _set(rows, "list_cost", _cost(rows, "list_unit_price"))
        version = rows["price_version"]
        is_none = pc.equal(version, "")
        tiers = pa.array([self._tiers.get(text or "") for text in version.to_pylist()], pa.string())
        rows = _set(rows, "service_tier", tiers)
        return _set(rows, "price_version", pc.if_else(is_none, pa.scalar(None, pa.string()), version))


def _find(book: PriceBook, kind: Kind, currency: str, rate: str) -> list[Price]:
    """The prices of the day that have the rate, the default tier's first."""
    found = [book.find(kind["model"], kind["usage_date"], service_tier=tier, currency=currency) for tier in _TIERS]
    return [price for price in found if price is not None and rate in price.rates]


def _rank(pairs: pa.Table) -> pa.Table:
    """All of them fit equally well: wallets pay for the same usage together."""
    import pyarrow as pa

    ranks = pa.repeat(pa.scalar(0, pa.int64()), pairs.num_rows)
    return pairs.select(["item", "row"]).append_column("rank", ranks)


def _cost(rows: pa.Table, price: str) -> pa.Array:
    import pyarrow as pa

    divisors = pa.repeat(pa.scalar(_MILLION, pa.int64()), rows.num_rows)
    return multiply(flatten(rows["quantity"]), flatten(rows[price]), divisors)


def _set(rows: pa.Table, name: str, values: Any) -> pa.Table:
    place = rows.schema.get_field_index(name)
    return rows.append_column(name, values) if place < 0 else rows.set_column(place, name, values)


def _zero() -> pa.Scalar:
    import pyarrow as pa

    return pa.scalar(Decimal(0), pa.decimal128(38, 9))
