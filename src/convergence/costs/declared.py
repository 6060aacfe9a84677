"""Cost tables that no SQL of ours knows: {provider}_cost_daily, as a pipeline's own schema declares it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from convergence.catalog.schemas import TableSchema
from convergence.errors import ConfigError, Fault

ENDING: Final = "_cost_daily"
NEEDED: Final = frozenset(("usage_date", "billed_cost", "currency", "pipeline_logging_id"))

_TEXTS: Final = (
    *("service_name", "service_category", "service_subcategory", "account_id", "region", "description"),
    *("project_id", "project_name", "api_key_id", "user_id", "user_email"),
    *("model", "token_class", "service_tier", "context_window", "unit", "pricing_unit", "cost_source", "price_version"),
)
_NUMBERS: Final = ("quantity", "list_unit_price", "list_cost")
AMOUNTS: Final = ("billed_cost", "list_cost", "list_unit_price")
_TYPES: Final = {
    **dict.fromkeys((*_TEXTS, "service", "product", "sku", "workspace_id", "line_item", "actor"), "STRING"),
    **dict.fromkeys((*_NUMBERS, "billed_cost"), "NUMERIC"),
    "usage_date": "DATE",
    "currency": "STRING",
}


def select_declared(table: str, present: Collection[str]) -> str:
    """All columns that a cost table may have, NULL where this one has none, of the days that are asked for.

    `table` is a name that the warehouse listed; `present` are its columns.
    """
    typed = {**dict.fromkeys(_TEXTS, "STRING"), **dict.fromkeys(_NUMBERS, "NUMERIC")}
    listed = [name if name in present else f"CAST(NULL AS {kind}) AS {name}" for name, kind in typed.items()]
    columns = ", ".join([*sorted(NEEDED), *listed])
    return f"SELECT {columns} FROM {table} WHERE usage_date >= @start_date AND usage_date < @end_date"


PROJECTS: Final = (
    "SELECT project_id AS id, COALESCE(MAX(project_name), project_id) AS name FROM declared"
    " WHERE project_id IS NOT NULL GROUP BY project_id"
)
"""Names of projects, out of `declared`: FOCUS wants one wherever there is an id."""


def is_cost_table(name: str) -> bool:
    """Whether money of a table by that name counts wherever costs are shown."""
    return name.endswith(ENDING)


def find_cost_faults(schema: TableSchema) -> Iterator[tuple[str, str]]:
    """(message, expected) of what keeps a cost table from being summed with the others; any other table has none."""
    if not is_cost_table(schema.name):
        return
    for name in ("usage_date", "billed_cost", "currency"):
        if schema.column(name) is None:
            yield f"{schema.name} is a cost table without {name}", f"a column {name} of type {_TYPES[name]}"
    for column in schema.columns:
        wanted = _TYPES.get(column.name, column.type)
        if column.type != wanted or (column.name in _TYPES and column.mode == "REPEATED"):
            yield f"{schema.name} is a cost table, and its {column.name} is {column.type}", wanted


def check_owner(provider: str, table: str) -> None:
    """Whoever writes a cost table is its provider: money of a table that repeats another's would count twice.

    Raises:
        ConfigError: the name says that the costs are of another provider.
    """
    if is_cost_table(table) and table != f"{provider}{ENDING}":
        fault = Fault(
            f"{table} would be the cost table of another provider, and count beside {provider}{ENDING}",
            key="table",
            expected=f"{provider}{ENDING}, or a name that does not end with {ENDING}",
        )
        raise ConfigError(fault)
