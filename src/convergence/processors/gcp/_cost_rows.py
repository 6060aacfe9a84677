"""Summed rows of the export as rows of gcp_cost_daily: labels as objects, dollars only where the rate can be right."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from convergence.costs.kinds import flatten, number_kinds
from convergence.kit.jsontext import canonical, loads

if TYPE_CHECKING:
    import pyarrow as pa

    from convergence.catalog.schemas import TableSchema

_ABOVE_A_DOLLAR: Final = frozenset({"EUR", "GBP", "CHF"})  # of the currencies that a billing account can have
_LOWEST: Final = Decimal("0.4")


def build_costs(summed: pa.Table, schema: TableSchema) -> tuple[pa.Table, tuple[str, ...]]:
    """The table's own columns in its order, and what is suspicious about the rates."""
    rows = _translate(summed, "labels", _name_label)
    rows = _translate(rows, "project_labels", _name_label)
    rows = _translate(rows, "tags", _name_tag)
    rows, warnings = _add_dollars(rows)
    return rows.select([column.name for column in schema.measures_and_dimensions]), warnings


def is_possible_rate(currency: str, rate: Decimal | None) -> bool:
    """Whether so many units of a currency can be one US dollar. An inverted rate cannot: 0.012 rupees, 0.0067 yen."""
    if rate is None:
        return False
    if currency == "USD":
        return rate == 1
    return rate >= (_LOWEST if currency in _ABOVE_A_DOLLAR else 1)


def _add_dollars(rows: pa.Table) -> tuple[pa.Table, tuple[str, ...]]:
    """Amount / rate, as Google defines the rate: units of the currency for one dollar."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kinds, places = number_kinds(rows, ("currency", "currency_conversion_rate"))
    bad = [kind for kind in kinds if not is_possible_rate(kind["currency"], kind["currency_conversion_rate"])]
    possible = pa.array([kind not in bad for kind in kinds], pa.bool_()).take(places)
    rates = pc.if_else(possible, flatten(rows["currency_conversion_rate"]), None)
    exact = pc.divide(pc.cast(flatten(rows["billed_cost"]), pa.decimal256(38, 9)), pc.cast(rates, pa.decimal256(28, 9)))
    dollars = pc.cast(pc.round(exact, ndigits=9, round_mode="half_towards_infinity"), pa.decimal128(38, 9))
    return rows.append_column("billed_cost_usd", dollars), tuple(sorted(map(_warn, bad)))


def _warn(kind: Mapping[str, Any]) -> str:
    currency, rate = kind["currency"], kind["currency_conversion_rate"]
    if rate is None:
        return f"the export gives no conversion rate for {currency}; amounts in US dollars are left out"
    return (
        f"{rate.normalize():f} {currency} for one US dollar cannot be right, the rate may be upside down; amounts in"
        " US dollars are left out"
    )


def _translate(rows: pa.Table, column: str, name: Callable[[Mapping[str, Any]], str]) -> pa.Table:
    """A list of keys and values as an object, once for each that occurs."""
    import pyarrow as pa

    encoded = flatten(rows[column]).dictionary_encode()
    objects = pa.array([_as_object(text, name) for text in encoded.dictionary.to_pylist()], pa.string())
    return rows.set_column(rows.schema.get_field_index(column), column, objects.take(encoded.indices))


def _as_object(text: str | None, name: Callable[[Mapping[str, Any]], str]) -> str | None:
    entries: Sequence[Mapping[str, Any]] = loads(text or "[]") or []
    return canonical({name(entry): entry.get("value") for entry in entries}) if entries else None


def _name_label(entry: Mapping[str, Any]) -> str:
    return str(entry["key"])


def _name_tag(entry: Mapping[str, Any]) -> str:
    return f"{entry['namespace']}/{entry['key']}" if entry.get("namespace") else str(entry["key"])
