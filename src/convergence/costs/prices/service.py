"""The price book of an organization: list, create, update, delete, reset, sync. Rows are dated and never overlap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from convergence.costs.dated import DatedRecords, check_span
from convergence.costs.fields import (
    Reader,
    read_currency,
    read_day,
    read_fields,
    read_price,
    read_seed,
    read_text,
    refuse,
)
from convergence.costs.prices.book import DEFAULT_TIER, MAIN_CURRENCY, Price
from convergence.costs.prices.proposals import Difference, compare
from convergence.costs.prices.published import read_published
from convergence.costs.records import RecordTable
from convergence.errors import ConfigError, Fault, InvalidRequest
from convergence.tenancy import OrgScope
from convergence.warehouse import Warehouse

if TYPE_CHECKING:
    from convergence.catalog import Catalog
    from convergence.catalog.schemas import TableSchema

OWN: Final = "organization"
"""The source of a price that somebody wrote without naming one."""

_KEYS = ("model_id", "service_tier", "condition", "currency", "valid_from")
_DIMENSIONS: dict[str, Reader] = {
    "model_id": read_text,
    "service_tier": read_text,
    "condition": read_text,
    "hours_utc": read_text,
    "valid_from": read_day,
    "valid_to": read_day,
    "currency": read_currency,
    "source": read_text,
}


async def list_prices(warehouse: Warehouse, catalog: Catalog, org: OrgScope, provider: str) -> list[Price]:
    """All prices, by model, tier and date."""
    return await _records(warehouse, catalog, org, provider).read_all()


async def open_prices(warehouse: Warehouse, catalog: Catalog, org: OrgScope, provider: str) -> list[Price]:
    """All prices; where there are none, those of the seed, which are written."""
    return await _records(warehouse, catalog, org, provider).open()


async def create_price(
    warehouse: Warehouse, catalog: Catalog, org: OrgScope, provider: str, values: Mapping[str, Any]
) -> Price:
    """Add a price. Amounts are text, days ISO 8601. Without a source it is the organization's own.

    Raises:
        InvalidRequest: every fault of the values at once.
        Conflict: it overlaps another price of the same model, tier, condition and currency.
    """
    records = _records(warehouse, catalog, org, provider)
    return await records.create(parse_price({"source": OWN, **values}, records.table.schema))


async def update_price(
    warehouse: Warehouse, catalog: Catalog, org: OrgScope, provider: str, model_id: str, *, values: Mapping[str, Any]
) -> Price:
    """Change figures, end or source of a price, which is the organization's own from then on.

    `service_tier`, `condition`, `currency` and `valid_from` in the values choose the row; without them it is the newest
    one of the default tier in US dollars.

    Raises:
        NotFound: no such price.
        InvalidRequest, Conflict: as `create_price`.
    """
    records = _records(warehouse, catalog, org, provider)
    existing = await records.read_all()
    old = records.newest(_choose(existing, model_id, values), model_id)
    fixed = {"model_id": model_id, "valid_from": old.valid_from}
    price = parse_price({**_write_row(old), "source": OWN, **values, **fixed}, records.table.schema)
    return await records.change(old, price, existing)


async def delete_price(
    warehouse: Warehouse,
    catalog: Catalog,
    org: OrgScope,
    provider: str,
    model_id: str,
    *,
    service_tier: str | None = None,
    valid_from: date | None = None,
) -> int:
    """Delete a model's prices, all or those of a tier or first day; how many.

    Raises:
        NotFound: none is there.
    """
    records = _records(warehouse, catalog, org, provider)
    gone = [
        price
        for price in await records.read_all()
        if price.model_id == model_id
        and service_tier in (None, price.service_tier)
        and valid_from in (None, price.valid_from)
    ]
    return await records.remove(gone, model_id)


async def reset_prices(warehouse: Warehouse, catalog: Catalog, org: OrgScope, provider: str) -> list[Price]:
    """Put the seed's prices in place of all others.

    Raises:
        ConfigError: the seed is wrong; nothing was written.
    """
    return await _records(warehouse, catalog, org, provider).reset()


async def initialize_prices(warehouse: Warehouse, catalog: Catalog, org: OrgScope, provider: str) -> bool:
    """Fill the price book from the seed where there is none yet; whether it was filled."""
    return await _records(warehouse, catalog, org, provider).initialize()


async def sync_prices(
    warehouse: Warehouse, catalog: Catalog, org: OrgScope, provider: str, today: date, *, apply: bool
) -> Difference:
    """What the published price list would change; with `apply` it is changed, in one write.

    Raises:
        UnsupportedError: the package with the list is not installed.
    """
    records = _records(warehouse, catalog, org, provider)
    shipped = {price.source for price in load_seed(catalog, provider) if price.source is not None}
    published = read_published(provider, _rate_names(records.table.schema))
    difference = compare(await records.open(), published, today, shipped)
    if apply and difference.proposals:
        await records.put(price for proposal in difference.proposals for price in proposal.rows)
    return difference


def load_seed(catalog: Catalog, provider: str) -> list[Price]:
    """The prices that an organization starts with.

    Raises:
        ConfigError: every fault, with its line.
    """
    path = f"{provider}/seeds/pricing.csv"
    schema = catalog.schema(f"{provider}_pricing")
    prices = [_build(row, schema) for row in read_seed(catalog.seed(path), path, _readers(schema))]
    faults = [Fault(str(fault), path=path) for fault in find_overlaps(prices)]
    if faults:
        raise ConfigError(faults)
    return prices


def parse_price(values: Mapping[str, Any], schema: TableSchema) -> Price:
    """A price from what a user sent.

    Raises:
        InvalidRequest: every fault at once.
    """
    found, faults = read_fields(values, _readers(schema))
    if "model_id" not in found and not any(fault.key == "model_id" for fault in faults):
        faults.append(Fault("missing", key="model_id", expected="the model's name"))
    faults += check_span(found.get("valid_from"), found.get("valid_to"))
    if not any(name in found for name in _rate_names(schema)):
        faults.append(Fault("no amount at all", expected=f"one of {', '.join(_rate_names(schema))}"))
    refuse("the price is not valid", faults)
    return _build(found, schema)


def find_overlaps(prices: Iterable[Price]) -> list[Fault]:
    """Prices of the same model, tier, condition and currency that hold on the same day."""
    by_meter: dict[tuple[str, str, str | None, str], list[Price]] = {}
    for price in prices:
        by_meter.setdefault(price.meter, []).append(price)
    return [
        Fault(f"two prices of {one.model_id} ({one.service_tier}) hold on the same day", key="valid_from")
        for group in by_meter.values()
        for place, one in enumerate(group)
        for other in group[place + 1 :]
        if one.overlaps(other)
    ]


def _records(warehouse: Warehouse, catalog: Catalog, org: OrgScope, provider: str) -> DatedRecords[Price]:
    name = f"{provider}_pricing"
    if name not in catalog.schema_names():
        raise InvalidRequest(f"{provider} has no price book", hint="openai, anthropic, deepseek and cursor have one.")
    schema = catalog.schema(name)
    return DatedRecords(
        RecordTable.of(warehouse, catalog, org, name, _KEYS),
        noun="price",
        read=partial(_build, schema=schema),
        write=_write_row,
        describe=lambda price: f"{price.model_id} ({price.service_tier})",
        load_seed=partial(load_seed, catalog, provider),
    )


def _rate_names(schema: TableSchema) -> list[str]:
    return [column.name for column in schema.columns if column.type == "NUMERIC"]


def _readers(schema: TableSchema) -> dict[str, Reader]:
    columns = {column.name for column in schema.columns}
    dimensions = {name: reader for name, reader in _DIMENSIONS.items() if name in columns}
    return dimensions | dict.fromkeys(_rate_names(schema), read_price)


def _build(values: Mapping[str, Any], schema: TableSchema) -> Price:
    rates = {name: values[name] for name in _rate_names(schema) if values.get(name) is not None}
    return Price(
        values["model_id"],
        values.get("service_tier") or DEFAULT_TIER,
        values.get("condition"),
        values.get("valid_from"),
        values.get("valid_to"),
        values.get("currency") or MAIN_CURRENCY,
        rates,
        values.get("source"),
        values.get("hours_utc"),
    )


def _write_row(price: Price) -> dict[str, Any]:
    hours = {} if price.hours_utc is None else {"hours_utc": price.hours_utc}
    return {
        **hours,
        "model_id": price.model_id,
        "service_tier": price.service_tier,
        "condition": price.condition,
        "valid_from": price.valid_from,
        "valid_to": price.valid_to,
        "currency": price.currency,
        "source": price.source,
        **price.rates,
    }


def _choose(prices: list[Price], model_id: str, values: Mapping[str, Any]) -> list[Price]:
    """The prices that the values name; without a currency those in US dollars, where there are any."""
    tier = values.get("service_tier") or DEFAULT_TIER
    start = read_day(values["valid_from"]) if values.get("valid_from") else None
    found = [
        price
        for price in prices
        if price.model_id == model_id
        and price.service_tier == tier
        and price.condition == values.get("condition")
        and values.get("currency") in (None, price.currency)
        and start in (None, price.valid_from)
    ]
    return [price for price in found if price.currency == MAIN_CURRENCY] or found
