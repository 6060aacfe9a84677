"""Templates such as {org_slug} in the text of a pipeline: they fill values, from an allow-list, and nothing else.

A template is a name in braces; {{name}} is the text {name}. There is no attribute, index or format in it, so it
cannot reach anything but the mapping it is given. In SQL a template becomes a query parameter, never text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import Any, Final

from convergence.catalog.tables import near
from convergence.errors import ConfigError, Fault

RUN_NAMES: Final = ("org_slug", "start_date", "end_date", "pipeline_id", "run_id", "environment")

REQUEST_KEY: Final = "request"
"""The key of a step whose templates name the days of one request, not of the run: its processor fills them."""

WINDOW_NAMES: Final = (
    *("start_date", "end_date", "end_date_exclusive", "start_time", "end_time", "end_time_exclusive"),
    *("start_epoch", "end_epoch", "end_epoch_exclusive", "start_epoch_ms", "end_epoch_ms", "end_epoch_ms_exclusive"),
)
"""What a request may call the days that it asks for; `end` is the last of them, or its last second."""

_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
_TEMPLATE: Final = re.compile(rf"\{{\{{(?P<literal>{_NAME})\}}\}}|\{{(?P<name>{_NAME})\}}", re.ASCII)
_SQL_PART: Final = re.compile(
    r"""(?P<verbatim>--[^\n]*|\#[^\n]*|/\*.*?\*/"""
    r'''|[rRbB]{0,2}(?:"""(?:\\.|[^\\])*?"""|\'\'\'(?:\\.|[^\\])*?\'\'\'|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|`[^`]*`)'''
    rf"""|\{{(?P<name>{_NAME})\}}""",
    re.ASCII | re.DOTALL,
)


def build_names(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """What templates of a pipeline may name: the run's own values and the declared parameters."""
    return (*RUN_NAMES, *(f"parameters.{name}" for name in parameters))


def build_values(run: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Values for `fill` from the run's own (see RUN_NAMES) and its parameters. Dates are days, both included."""
    return {**run, **{f"parameters.{name}": value for name, value in parameters.items()}}


def find_names(value: Any) -> Iterator[str]:
    """The names of all templates in a value, inside its lists and mappings too; in SQL, outside quotes only."""
    match value:
        case str():
            yield from (found["name"] for found in _TEMPLATE.finditer(value) if found["name"])
        case dict():
            for key, item in value.items():
                yield from _find_sql_names(item) if is_sql_key(key) and isinstance(item, str) else find_names(item)
        case list() | tuple():
            yield from (name for item in value for name in find_names(item))


def _find_sql_names(sql: str) -> Iterator[str]:
    yield from (found["name"] for found in _SQL_PART.finditer(sql) if found["name"])


def is_sql_key(key: str) -> bool:
    """Whether a step's key holds a statement: sql, query, or a name that ends with _sql or _query."""
    return key.rsplit("_", maxsplit=1)[-1] in {"sql", "query"}


def fill(value: Any, values: Mapping[str, Any]) -> Any:
    """`value` with its templates filled, inside its lists and mappings too; keys stay as they are.

    Text that is one template and nothing else becomes the value itself, of its own type. SQL (see `is_sql_key`) is
    left alone: `bind_sql` is for it; so is what stands below `request` (see REQUEST_KEY).

    Raises:
        ConfigError: every unknown name.
    """
    request = {REQUEST_KEY: value[REQUEST_KEY]} if isinstance(value, Mapping) and REQUEST_KEY in value else {}
    filled = {key: item for key, item in value.items() if key not in request} if request else value
    unknown = [name for name in dict.fromkeys(find_names(filled)) if name not in values]
    if unknown:
        raise ConfigError(Fault(*_unknown(name, values)) for name in unknown)
    return {**_filled(filled, values), **request} if request else _filled(filled, values)


def bind_sql(sql: str, values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """SQL with @name for each {name} (a dot becomes __), and the values of those parameters.

    Braces in quotes, comments and quoted names are left as they are: a parameter would not be one there.

    Raises:
        ConfigError: every unknown name.
    """
    names = [*_find_sql_names(sql)]
    unknown = [name for name in dict.fromkeys(names) if name not in values]
    if unknown:
        raise ConfigError(Fault(*_unknown(name, values)) for name in unknown)
    return build_parametric_sql(sql), {_parameter(name): values[name] for name in names}


def build_parametric_sql(sql: str) -> str:
    """SQL with @name in place of each {name}."""
    return _SQL_PART.sub(lambda found: f"@{_parameter(found['name'])}" if found["name"] else found[0], sql)


def check_names(value: Any, allowed: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(message, expected) for every template that names what is not allowed."""
    allowed = tuple(allowed)
    for name in dict.fromkeys(find_names(value)):
        if name not in allowed:
            message, _, _, _, expected = _unknown(name, allowed)
            yield message, expected


def _unknown(name: str, allowed: Iterable[str]) -> tuple[str, None, None, None, str]:
    allowed = tuple(allowed)
    message = f"{{{name}}} is not a template" + near(name, allowed)
    return message, None, None, None, ", ".join(f"{{{one}}}" for one in allowed)


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    match value:
        case str():
            return _filled_text(value, values)
        case dict():
            return {key: item if is_sql_key(key) else _filled(item, values) for key, item in value.items()}
        case list() | tuple():
            return [_filled(item, values) for item in value]
        case _:
            return value


def _filled_text(text: str, values: Mapping[str, Any]) -> Any:
    whole = _TEMPLATE.fullmatch(text)
    if whole and whole["name"]:
        return values[whole["name"]]
    return _TEMPLATE.sub(
        lambda found: f"{{{found['literal']}}}" if found["literal"] else _text(values[found["name"]]), text
    )


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, date | datetime) else str(value)


def _parameter(name: str) -> str:
    return name.replace(".", "__")
