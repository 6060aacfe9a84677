"""openai.cost: usage priced by the organization's price book, and reported cost handed to whoever caused it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from convergence.costs.allocation import multiply
from convergence.costs.pricebook import Price, PriceBook
from convergence.costs.prices import initialize_prices, list_prices
from convergence.errors import DataQualityError
from convergence.kit.window import DAY, Window
from convergence.processors.openai import reported_cost, usage
from convergence.processors.openai._attribution import attribute
from convergence.processors.openai._reading import PROVIDER, choose_window
from convergence.processors.openai._token_classes import Quote, quote
from convergence.sql import Statement
from convergence.steps import StepContext, StepResult
from convergence.steps.loading import DayLoad, Fetched, Published, ensure_tables, publish_days

if TYPE_CHECKING:
    import pyarrow as pa

TABLE = "openai_cost_daily"
STREAM = "openai.cost"
MOST_USAGE_ROWS = 40_000  # in memory at a time, unless one day has more
_QUOTED = ("usage_date", "model", "batch", "service_tier", "token_class")


class Config(BaseModel):
    """`restatement_days` must be those of the steps that load usage and reported cost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    restatement_days: int = Field(default=3, ge=0, le=45)


def get_engine() -> CostProcessor:
    return CostProcessor()


class CostProcessor:
    """A few days at a time: read in classes, price, attribute, prove that nothing was lost, publish."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        whole = choose_window(context, config.restatement_days)
        await ensure_tables(context, usage.TABLE)
        await ensure_tables(context, reported_cost.TABLE)
        pricing = _Pricing(await _read_prices(context))
        total = Published()
        for window in await _cut(context, whole):
            rows = await _build_window(context, window, pricing)
            load = DayLoad(TABLE, STREAM, amount_column="billed_cost")
            total.extend(await publish_days(context, load, Fetched(window, rows)))
            context.report(total.rows)
        return StepResult(total.rows, {**total.metadata, **pricing.metadata}, pricing.warnings)


async def _read_prices(context: StepContext) -> list[Price]:
    place = (context.warehouse, context.catalog, context.tenant, PROVIDER)
    await initialize_prices(*place)
    return await list_prices(*place)


async def _cut(context: StepContext, whole: Window) -> list[Window]:
    """Windows of whole days, newest first, that hold at most MOST_USAGE_ROWS usage rows where a day allows."""
    states = await context.warehouse.scopes(context.tenant.dataset, usage.STREAM, whole)
    rows = {state.day: state.rows for state in states}
    windows: list[Window] = []
    held = 0
    for day in reversed(list(whole.days())):
        held += rows.get(day, 0)
        if windows and held <= MOST_USAGE_ROWS:
            windows[-1] = Window(day, windows[-1].end)
        else:
            windows.append(Window(day, day + DAY))
            held = rows.get(day, 0)
    return windows


async def _build_window(context: StepContext, window: Window, pricing: _Pricing) -> pa.Table:
    """The cost rows of a window.

    Raises:
        DataQualityError: conservation_broken: something was lost or doubled on the way; nothing is published.
    """
    used = await _query(context, "usage_by_class", window)
    items = await _query(context, "reported_items", window)
    # In a thread: seconds of computing on the event loop would hold up the run's heartbeat.
    rows = _arrange(context, await asyncio.to_thread(lambda: attribute(items, pricing.apply(used))))
    check_conservation(
        rows,
        (await _query(context, "reported_totals", window)).to_pylist(),
        (await _query(context, "usage_totals", window)).to_pylist(),
    )
    return rows


async def _query(context: StepContext, name: str, window: Window) -> pa.Table:
    sql = context.catalog.text(context.catalog.root, f"{PROVIDER}/sql/{name}.sql")
    days = {"start_date": window.start, "end_date": window.end}
    return await context.warehouse.query(Statement(sql, context.tenant.dataset, days))


def _arrange(context: StepContext, rows: pa.Table) -> pa.Table:
    """The table's own columns, in its order."""
    schema = context.catalog.schema(TABLE)
    return rows.select([column.name for column in schema.measures_and_dimensions])


class _Pricing:
    """Finds each price once and remembers what had none."""

    def __init__(self, prices: Iterable[Price]) -> None:
        prices = list(prices)
        self._book = PriceBook(prices)
        self._conditional = {price.model_id for price in prices if price.condition is not None}
        self._unpriced: dict[str, set[str]] = {}
        self._base_only: set[str] = set()

    def apply(self, rows: pa.Table) -> pa.Table:
        """The rows with list_unit_price, pricing_unit, list_cost, currency and price_version; null where unpriced."""
        kinds = rows.group_by(list(_QUOTED)).aggregate([]).select(list(_QUOTED))
        quotes = [self._quote(kind) for kind in kinds.to_pylist()]
        place = _match(rows, kinds)
        for name, values in _columns(quotes).items():
            rows = rows.append_column(name, values.take(place))
        cost = multiply(_flat(rows["quantity"]), _flat(rows["list_unit_price"]), _flat(rows["per"]))
        return rows.append_column("list_cost", cost).drop_columns(["per"])

    def _quote(self, kind: Mapping[str, Any]) -> Quote | None:
        model, token_class = kind["model"], kind["token_class"]
        found = quote(
            self._book,
            token_class,
            model,
            kind["usage_date"],
            batch=bool(kind["batch"]),
            service_tier=kind["service_tier"],
        )
        if found is None:
            self._unpriced.setdefault(model or "no model", set()).add(token_class)
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
        """`base_price_only` are models whose long-context price depends on the request and was not applied."""
        return {"unpriced_models": sorted(self._unpriced), "base_price_only": sorted(self._base_only)}


def _match(rows: pa.Table, kinds: pa.Table) -> pa.Array:
    """The place of each row's kind."""
    import pyarrow.compute as pc

    return _flat(pc.index_in(_kind_text(rows), value_set=_flat(_kind_text(kinds))))


def _kind_text(rows: pa.Table) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = [pc.fill_null(pc.cast(rows[name], pa.string()), "\x00") for name in _QUOTED]
    return pc.binary_join_element_wise(*texts, "\x1f")


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


def check_conservation(rows: pa.Table, reported: list[dict[str, Any]], used: list[dict[str, Any]]) -> None:
    """The billed cost of each day is what was reported, and its quantities are what was used.

    Raises:
        DataQualityError: conservation_broken, naming the first day and both sums.
    """
    billed = _sum(rows, ["usage_date", "currency"], "billed_cost")
    expected = {(row["usage_date"], row["currency"]): row["amount"] for row in reported}
    _compare("billed cost", billed, expected)
    quantities = _sum(rows, ["usage_date", "unit"], "quantity")
    names = {"ByteDays": "Byte-Days"}
    wanted: dict[tuple[date, str | None], Decimal] = {
        (row["usage_date"], names.get(unit, unit)): amount
        for row in used
        for unit, amount in row.items()
        if unit != "usage_date"
    }
    _compare("quantity", quantities, wanted)


def _sum(rows: pa.Table, keys: list[str], column: str) -> dict[tuple[date, str | None], Decimal]:
    sums = rows.group_by(keys).aggregate([(column, "sum")]).to_pylist()
    return {(row[keys[0]], row[keys[1]]): row[f"{column}_sum"] for row in sums}


def _compare(
    what: str, found: Mapping[tuple[date, str | None], Decimal], expected: Mapping[tuple[date, str | None], Decimal]
) -> None:
    for day, unit in _keys(found, expected):
        one, other = found.get((day, unit), Decimal(0)), expected.get((day, unit), Decimal(0))
        if one != other:
            raise DataQualityError(
                f"{what} of {day} in {unit or 'no unit'} is {one} after allocation and {other} before it",
                code="conservation_broken",
                hint="Nothing was published; the old rows of the day stay. This is a fault of Convergence: report it.",
                fields={"day": day.isoformat(), "found": str(one), "expected": str(other)},
            )


def _keys(*sums: Mapping[tuple[date, str | None], Decimal]) -> Iterator[tuple[date, str | None]]:
    yield from sorted({key for one in sums for key in one}, key=lambda key: (key[0], key[1] or ""))


def _flat(values: Any) -> Any:
    import pyarrow as pa

    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
