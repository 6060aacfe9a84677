"""Cost tables that no SQL of ours knows: {provider}_cost_daily, as a pipeline's own schema declares it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from convergence.errors import ConfigError, Fault

ENDING: Final = "_cost_daily"
NEEDED: Final = frozenset(("usage_date", "billed_cost", "currency", "pipeline_logging_id"))

_TEXTS: Final = (
    *("service_name", "service_category", "service_subcategory", "account_id", "project_id", "api_key_id", "user_id"),
    *("user_email", "model", "token_class", "service_tier", "context_window", "region", "description", "unit"),
    *("pricing_unit", "cost_source", "price_version"),
)
_NUMBERS: Final = ("quantity", "list_unit_price", "list_cost")


def select_declared(table: str, present: Collection[str]) -> str:
    """All columns that a cost table may have, NULL where this one has none.

    `table` is a name that the warehouse listed; `present` are its columns.
    """
    typed = {**dict.fromkeys(_TEXTS, "STRING"), **dict.fromkeys(_NUMBERS, "NUMERIC")}
    listed = [name if name in present else f"CAST(NULL AS {kind}) AS {name}" for name, kind in typed.items()]
    return f"SELECT {', '.join([*sorted(NEEDED), *listed])} FROM {table}"


def check_owner(provider: str, table: str) -> None:
    """Whoever writes a cost table is its provider: money of a table that repeats another's would count twice.

    Raises:
        ConfigError: the name says that the costs are of another provider.
    """
    if table.endswith(ENDING) and table != f"{provider}{ENDING}":
        fault = Fault(
            f"{table} would be the cost table of another provider, and count beside {provider}{ENDING}",
            key="table",
            expected=f"{provider}{ENDING}, or a name that does not end with {ENDING}",
        )
        raise ConfigError(fault)
