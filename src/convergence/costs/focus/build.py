"""focus_cost_daily: every provider's cost table in the columns of FOCUS, each source replacing its own rows only."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from convergence.costs.declared import ENDING, NEEDED, PROJECTS, select_declared
from convergence.costs.identity.people import IdentityTables, build_attribution, describe_identity
from convergence.errors import DataQualityError
from convergence.kit.clock import today
from convergence.kit.window import DAY, Window
from convergence.sql import Parameter, Statement
from convergence.steps import StepContext
from convergence.steps.loading import DayLoad, Fetched, Published, ensure_tables, publish_days

if TYPE_CHECKING:
    import pyarrow as pa

    from convergence.catalog import Catalog
    from convergence.tenancy import OrgScope
    from convergence.warehouse import Warehouse

TABLE: Final = "focus_cost_daily"
SCOPE_COLUMN: Final = "x_DeliveryScope"
FILES: Final = "file/"  # so begin the scopes of uploaded files, which nothing here builds
FINANCE_VIEWS: Final = (
    "finance_daily_spend",
    "finance_monthly_spend",
    "finance_spend_by_team",
    "finance_spend_by_person",
    "finance_spend_by_model",
)
MOST_ROWS: Final = 40_000  # in memory at a time, unless one day has more
_DECLARED: Final = "declared"
_NO_PROJECTS: Final = "SELECT CAST(NULL AS STRING) AS id, CAST(NULL AS STRING) AS name FROM (SELECT 1) WHERE FALSE"
_PROJECTS: Final = {"openai": "openai_projects", "anthropic": "anthropic_workspaces"}


@dataclass(frozen=True, slots=True)
class FocusSource:
    """A table whose rows become FOCUS rows. `scope` names them in x_DeliveryScope.

    `sql` is a file of configs/focus/sql: those in charges/ say everything, all others go through tokens.sql.
    """

    provider: str
    scope: str
    table: str
    sql: str
    day_column: str = "usage_date"
    amount_column: str = "billed_cost"

    @property
    def is_declared(self) -> bool:
        """Whether the table is one that no SQL here knows, and read by the columns that it has."""
        return self.sql == _DECLARED

    @property
    def load(self) -> DayLoad:
        return DayLoad(TABLE, f"focus.{self.scope}", "x_UsageDate", "BilledCost", (SCOPE_COLUMN, self.scope))


def find_sources(catalog: Catalog, existing: Collection[str], providers: Iterable[str] | None) -> list[FocusSource]:
    """What there is to build from: the tables among `existing` that have SQL here.

    `providers` names those wanted, or single scopes of theirs.
    """
    folder = catalog.root / "focus" / "sql"
    found = [
        source
        for path in (*sorted((folder / "usage").glob("*.sql")), *sorted((folder / "charges").glob("*.sql")))
        if (source := _source(path.parent.name, path.stem)).table in existing
    ]
    known = {TABLE, *(source.table for source in found)}
    names = [table.removesuffix(ENDING) for table in sorted(existing) if table.endswith(ENDING) and table not in known]
    found += [FocusSource(name, name, f"{name}{ENDING}", _DECLARED) for name in names]
    wanted = None if providers is None else set(providers)
    return [source for source in found if wanted is None or {source.provider, source.scope} & wanted]


async def build_focus(
    context: StepContext, window: Window, providers: Iterable[str] | None = None, *, lookback_days: int = 0
) -> Published:
    """Rewrite the window's days, and of `lookback_days` before it and all after it those whose costs have changed.

    Each day is replaced whole for each source; rows of others, and of uploaded files, are never touched. A day that an
    uploaded file has for the same provider is not built, and is among the faults of what is returned.

    Raises:
        DataQualityError: conservation_broken: a day's BilledCost is not the billed cost of its table.
    """
    warehouse, org = context.warehouse, context.tenant
    await ensure_focus(context)
    existing = set(await warehouse.tables(org.dataset))
    identity = await describe_identity(warehouse, org, existing)
    total = Published()
    for source in find_sources(context.catalog, existing, providers):
        columns = await _read_columns(context, source) if source.is_declared else frozenset()
        if source.is_declared and not columns >= NEEDED:
            continue
        builder = _Builder(context, source, identity, existing, columns)
        parts, filed = await builder.cut(window, lookback_days)
        total.faults |= {day: _counted_twice(source, day) for day in filed}
        for part in parts:
            total.extend(await publish_days(context, source.load, Fetched(part, await builder.build(part))))
            context.report(total.rows)
    return total


async def ensure_focus(context: StepContext) -> None:
    """The table, and the views that finance reads."""
    await ensure_tables(context, TABLE, part=(SCOPE_COLUMN, ""))
    await ensure_finance_views(context.warehouse, context.catalog, context.tenant)


async def ensure_finance_views(warehouse: Warehouse, catalog: Catalog, org: OrgScope) -> None:
    """The views over focus_cost_daily, which is there."""
    for name in FINANCE_VIEWS:
        text = catalog.text(catalog.root, f"finance/views/{name}.sql")
        await warehouse.ensure_view(org.table(name), Statement(text, org.dataset))


def cut_days(rows: Mapping[date, int], most: int = MOST_ROWS) -> list[Window]:
    """The days in order, as few windows of neighbours as hold at most so many rows each where a day allows."""
    windows: list[Window] = []
    held = 0
    for day in sorted(rows):
        held += rows[day]
        if windows and windows[-1].end == day and held <= most:
            windows[-1] = Window(windows[-1].start, day + DAY)
        else:
            windows.append(Window(day, day + DAY))
            held = rows[day]
    return windows


class _Builder:
    """The rows of one source. Names in its statements come from this module and the catalog; values are parameters."""

    def __init__(
        self,
        context: StepContext,
        source: FocusSource,
        identity: IdentityTables,
        existing: Collection[str],
        columns: Collection[str] = (),
    ) -> None:
        self._context = context
        self._source = source
        self._identity = identity
        self._projects = _PROJECTS.get(source.provider) if source.sql.startswith("usage/") else None
        self._projects = self._projects if self._projects in existing else None
        self._columns = columns

    async def cut(self, window: Window, lookback_days: int) -> tuple[list[Window], list[date]]:
        """The window's days and the stale ones around it, a few at a time; and those that a file has already."""
        whole = self._around(window, lookback_days) if lookback_days else window
        found = (await self._query(self._freshness(), whole)).to_pylist()
        rows = dict.fromkeys(window.days(), 0)
        rows |= {row["day"]: row["n"] for row in found if row["day"] in window or row["is_stale"]}
        filed = [row["day"] for row in found if row["is_filed"] and rows.get(row["day"])]
        return cut_days({day: n for day, n in rows.items() if day not in filed}), filed

    def _around(self, window: Window, days: int) -> Window:
        return Window(window.start - timedelta(days=days), max(window.end, today(self._context.clock) + DAY))

    async def build(self, window: Window) -> pa.Table:
        """Read until rows and sums agree: another run may have published costs between the two."""
        for is_last in (False, True):
            rows = self._spell(await self._query(self._rows(), window))
            broken = _find_difference(_sum(rows), await self._read_billed(window))
            if broken is None:
                break
            if is_last:
                raise _not_conserved(self._source, *broken)
        return rows

    def _spell(self, rows: pa.Table) -> pa.Table:
        """With the names of the table: GoogleSQL's are the same in any case, and not every engine keeps it."""
        names = {column.name.casefold(): column.name for column in self._context.catalog.schema(TABLE).columns}
        return rows.rename_columns([names[name.casefold()] for name in rows.column_names])

    def _freshness(self) -> str:
        """Days of the table and of its FOCUS rows: how many rows, whether both agree, whether a file has them too."""
        day, amount, table = self._source.day_column, self._source.amount_column, self._source.table
        return (
            "SELECT COALESCE(c.day, f.day) AS day, COALESCE(c.n, 0) AS n,"
            " c.run IS DISTINCT FROM f.run OR c.amount IS DISTINCT FROM f.amount AS is_stale,"
            " u.day IS NOT NULL AS is_filed FROM"
            f" (SELECT {day} AS day, COUNT(*) AS n, MAX(pipeline_logging_id) AS run, SUM({amount}) AS amount"
            f" FROM {table} WHERE {day} >= @start_date AND {day} < @end_date GROUP BY day) AS c FULL JOIN"
            f" (SELECT x_UsageDate AS day, MAX(x_RunId) AS run, SUM(BilledCost) AS amount FROM {TABLE} WHERE"
            f" {SCOPE_COLUMN} = @scope AND x_UsageDate >= @start_date AND x_UsageDate < @end_date GROUP BY day) AS f"
            " ON f.day = c.day"
            f" LEFT JOIN (SELECT DISTINCT x_UsageDate AS day FROM {TABLE} WHERE x_Provider = @provider"
            f" AND STARTS_WITH({SCOPE_COLUMN}, '{FILES}') AND x_UsageDate >= @start_date AND x_UsageDate < @end_date)"
            " AS u ON u.day = COALESCE(c.day, f.day)"
        )

    def _rows(self) -> str:
        source, parts, last = self._source, list[str](), "charges"
        if source.is_declared:
            parts.append(f"declared AS ({select_declared(source.table, self._columns)})")
        parts.append(f"charges AS ({self._text(source.sql)})")
        if not source.sql.startswith("charges/"):
            parts.append(f"classified AS ({self._text('tokens')})")
            last = "classified"
        parts += build_attribution(last, self._identity)
        named = f"SELECT id, name FROM {self._projects}" if self._projects else _NO_PROJECTS
        parts.append(f"projects AS ({PROJECTS if source.is_declared else named})")
        return f"WITH {', '.join(parts)} {self._text('focus')}"

    async def _read_billed(self, window: Window) -> dict[tuple[date, str], Decimal]:
        day, amount = self._source.day_column, self._source.amount_column
        rows = await self._query(
            f"SELECT {day} AS day, currency, SUM({amount}) AS amount FROM {self._source.table}"
            f" WHERE {day} >= @start_date AND {day} < @end_date GROUP BY day, currency",
            window,
        )
        return {(row["day"], row["currency"]): row["amount"] for row in rows.to_pylist()}

    async def _query(self, sql: str, window: Window) -> pa.Table:
        known: dict[str, Parameter] = {
            "start_date": window.start,
            "end_date": window.end,
            "scope": self._source.scope,
            "provider": self._source.provider,
            "org_slug": self._context.tenant.org_slug,
        }
        used = {name: value for name, value in known.items() if f"@{name}" in sql}
        return await self._context.warehouse.query(Statement(sql, self._context.tenant.dataset, used))

    def _text(self, name: str) -> str:
        catalog = self._context.catalog
        return catalog.text(catalog.root, f"focus/sql/{name}.sql")


async def _read_columns(context: StepContext, source: FocusSource) -> frozenset[str]:
    statement = Statement(f"SELECT * FROM {source.table} LIMIT 0", context.tenant.dataset)
    return frozenset((await context.warehouse.query(statement)).column_names)


def _source(folder: str, stem: str) -> FocusSource:
    sql = f"{folder}/{stem}"
    if stem.endswith("_subscriptions"):
        provider = stem.removesuffix("_subscriptions")
        scope = f"{provider}/subscriptions"
        return FocusSource(provider, scope, f"{stem}_monthly", sql, "month", "amount")
    return FocusSource(stem, stem, f"{stem}_cost_daily", sql)


def _sum(rows: pa.Table) -> dict[tuple[date, str], Decimal]:
    sums = rows.group_by(["x_UsageDate", "BillingCurrency"]).aggregate([("BilledCost", "sum")]).to_pylist()
    return {(row["x_UsageDate"], row["BillingCurrency"]): row["BilledCost_sum"] for row in sums}


_Difference = tuple[date, str, Decimal, Decimal]


def _find_difference(
    found: Mapping[tuple[date, str], Decimal], expected: Mapping[tuple[date, str], Decimal]
) -> _Difference | None:
    for day, currency in sorted({*found, *expected}):
        one, other = (sums.get((day, currency), Decimal(0)) for sums in (found, expected))
        if one != other:
            return day, currency, one, other
    return None


def _counted_twice(source: FocusSource, day: date) -> DataQualityError:
    return DataQualityError(
        f"an uploaded FOCUS file has costs of {source.provider} on {day} as well as {source.table}",
        code="focus_counted_twice",
        hint="Remove the file's days: convergence files remove ORG PROVIDER FILE. The next run builds these.",
    )


def _not_conserved(
    source: FocusSource, day: date, currency: str, found: Decimal, expected: Decimal
) -> DataQualityError:
    return DataQualityError(
        f"BilledCost of {source.scope} on {day} is {found} {currency} in FOCUS and {expected} in {source.table}",
        code="conservation_broken",
        hint="Nothing was published; the old rows of the day stay. This is a fault of Convergence: report it.",
        fields={"day": day.isoformat(), "found": str(found), "expected": str(expected)},
    )
