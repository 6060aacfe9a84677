"""Cost of an organization over all providers, grouped as asked; summed by the warehouse, never from rounded rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal

from convergence.costs.declared import ENDING
from convergence.costs.identity.people import ATTRIBUTES, IdentityTables, build_attribution, describe_identity
from convergence.costs.prices.unpriced import read_unpriced
from convergence.errors import InvalidRequest
from convergence.kit.window import Window
from convergence.sql import Statement
from convergence.tenancy import OrgScope
from convergence.warehouse import Warehouse

PROVIDERS: Final = ("openai", "anthropic", "deepseek", "cursor", "gcp")
_NOT_PROVIDERS: Final = frozenset(("focus",))
_NEEDED: Final = frozenset(("usage_date", "billed_cost", "currency"))
Granularity = Literal["day", "month", "total"]
GRANULARITIES: Final = ("day", "month", "total")

# A dimension is the first of these columns that a provider's table has.
_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "service": ("service", "service_name", "service_description", "product"),
    "model": ("model", "sku"),
    "project": ("project_id", "workspace_id"),
    "api_key": ("api_key_id",),
    "user": ("user_id", "actor", "user_email"),
    "token_class": ("token_class",),
    "line_item": ("line_item", "description"),
}
GROUPINGS: Final = ("provider", *_COLUMNS, *ATTRIBUTES, "day", "month")
_SERVICES: Final = {
    "openai": "OpenAI API",
    "anthropic": "Claude API",
    "deepseek": "DeepSeek API",
    "cursor": "Cursor",
    "gcp": "Google Cloud",
}


@dataclass(frozen=True, slots=True)
class CostReport:
    """Rows by period and group, amounts as Decimal. A group that cannot be told is None: it is never left out.

    A row's list cost is None where nothing in it has a price: that is not 0.

    `totals` has one entry a currency, the largest first; currencies are never added up. `unpriced` is the usage that
    no list cost stands for.
    """

    rows: list[dict[str, Any]]
    totals: list[dict[str, Any]]
    unpriced: list[dict[str, Any]] = field(default_factory=list)

    @property
    def total(self) -> dict[str, Any]:
        """The total of the main currency; zero USD where there is nothing."""
        nothing = {"billed_cost": Decimal(0), "list_cost": Decimal(0), "currency": "USD"}
        return self.totals[0] if self.totals else nothing


async def read_costs(
    warehouse: Warehouse,
    org: OrgScope,
    window: Window,
    *,
    granularity: str = "day",
    group_by: Sequence[str] = (),
    providers: Iterable[str] | None = None,
) -> CostReport:
    """Billed and list cost of the window's days.

    Raises:
        InvalidRequest: an unknown granularity, group or provider; all of them named.
    """
    existing = set(await warehouse.tables(org.dataset))
    _check(granularity, group_by, providers, known=known_providers(existing))
    sources = await describe_costs(warehouse, org, existing, providers)
    if not sources:
        return CostReport([], [])
    keys = _keys(granularity, group_by)
    identity = await describe_identity(warehouse, org, existing) if set(keys) & set(ATTRIBUTES) else None
    query = _Query(sources, identity, keys)
    days = {"start_date": window.start, "end_date": window.end}
    rows = await warehouse.query(Statement(query.grouped(), org.dataset, days))
    totals = await warehouse.query(Statement(query.totals(), org.dataset, days))
    return CostReport(rows.to_pylist(), totals.to_pylist(), await read_unpriced(warehouse, org, sources, days))


def known_providers(existing: Collection[str]) -> list[str]:
    """The providers of this version, then every other that has a cost table among `existing`."""
    return [*PROVIDERS, *(name for name in _find_providers(set(existing)) if name not in PROVIDERS)]


async def describe_costs(
    warehouse: Warehouse, org: OrgScope, existing: Collection[str], providers: Iterable[str] | None = None
) -> list[CostSource]:
    """The cost tables among `existing`, of all providers or of some."""
    chosen = None if providers is None else set(providers)
    wanted = [name for name in _find_providers(set(existing)) if chosen is None or name in chosen]
    described = [await _describe(warehouse, org, name) for name in wanted]
    return [source for source in described if source.columns >= _NEEDED]


def build_costs(sources: Sequence[CostSource]) -> str:
    """Every cost of the days from @start_date to before @end_date, under the names of GROUPINGS."""
    return " UNION ALL ".join(source.select() for source in sources)


@dataclass(frozen=True, slots=True)
class CostSource:
    """The cost table of one provider."""

    provider: str
    columns: frozenset[str]

    def select(self) -> str:
        """The provider's rows under the common names."""
        named = [f"{self._column(name)} AS {_quoted(name)}" for name in _COLUMNS]
        listed = "list_cost" if "list_cost" in self.columns else "CAST(NULL AS NUMERIC)"
        return (
            f"SELECT usage_date, '{self.provider}' AS provider, {', '.join(named)}, billed_cost,"
            f" {listed} AS list_cost, currency"
            f" FROM {self.provider}{ENDING} WHERE usage_date >= @start_date AND usage_date < @end_date"
        )

    def _column(self, name: str) -> str:
        found = next((column for column in _COLUMNS[name] if column in self.columns), None)
        if found is None and name == "service":
            return f"'{_SERVICES.get(self.provider, self.provider)}'"
        return found or "CAST(NULL AS STRING)"


class _Query:
    """The statements of one report. Names come from this module and from tables; nothing a user writes gets in."""

    def __init__(self, sources: Sequence[CostSource], identity: IdentityTables | None, keys: Sequence[str]) -> None:
        self._sources = sources
        self._identity = identity
        self._keys = keys

    def grouped(self) -> str:
        keys = [*self._keys, "currency"]
        selected = ", ".join(f"{_expression(key)} AS {_quoted(key)}" for key in keys)
        places = ", ".join(str(place) for place in range(1, len(keys) + 1))
        return (
            f"WITH {', '.join(self._tables_above())} SELECT {selected}, SUM(billed_cost) AS billed_cost,"
            f" SUM(list_cost) AS list_cost FROM {'costs' if self._identity is None else 'attributed'} AS costs"
            f" GROUP BY {places}"
            f" ORDER BY {self._order()}"
        )

    def totals(self) -> str:
        return (
            f"WITH {self._costs()} SELECT SUM(billed_cost) AS billed_cost, SUM(list_cost) AS list_cost,"
            " currency FROM costs GROUP BY currency ORDER BY billed_cost DESC, currency"
        )

    def _order(self) -> str:
        periods = [key for key in self._keys if key in ("day", "month")]
        others = [key for key in self._keys if key not in periods]
        return ", ".join(
            [*(_quoted(key) for key in periods), "billed_cost DESC", *(_quoted(key) for key in others), "currency"]
        )

    def _tables_above(self) -> Iterator[str]:
        yield self._costs()
        if self._identity is not None:
            yield from build_attribution("costs", self._identity)

    def _costs(self) -> str:
        return f"costs AS ({build_costs(self._sources)})"


def _expression(key: str) -> str:
    match key:
        case "day":
            return "usage_date"
        case "month":
            return "DATE_TRUNC(usage_date, MONTH)"
        case _:
            return f"costs.{_quoted(key)}"


def _quoted(key: str) -> str:
    return f"`{key}`"


def _keys(granularity: str, group_by: Sequence[str]) -> list[str]:
    periods = [granularity] if granularity != "total" else []
    return list(dict.fromkeys([*periods, *group_by]))


def _find_providers(tables: Iterable[str]) -> list[str]:
    """Those with a cost table: our own first, in their order."""
    named = {table.removesuffix(ENDING) for table in tables if table.endswith(ENDING)} - _NOT_PROVIDERS
    return [name for name in PROVIDERS if name in named] + sorted(named - set(PROVIDERS))


async def _describe(warehouse: Warehouse, org: OrgScope, provider: str) -> CostSource:
    nothing = await warehouse.query(Statement(f"SELECT * FROM {provider}{ENDING} LIMIT 0", org.dataset))
    return CostSource(provider, frozenset(nothing.column_names))


def _check(granularity: str, group_by: Sequence[str], providers: Iterable[str] | None, *, known: Sequence[str]) -> None:
    faults = (
        [] if granularity in GRANULARITIES else [f"granularity {granularity!r} is not one of {_list(GRANULARITIES)}"]
    )
    faults += [f"group_by {name!r} is not one of {_list(GROUPINGS)}" for name in group_by if name not in GROUPINGS]
    faults += [f"provider {name!r} is not one of {_list(known)}" for name in providers or () if name not in known]
    if faults:
        raise InvalidRequest("; ".join(faults), fields={"faults": faults})


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
