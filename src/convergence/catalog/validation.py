"""Pydantic's errors as what to correct; the refused value stays out, since it may be a secret."""

from __future__ import annotations

from collections.abc import Iterator
from string import Template
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError

from convergence.catalog.tables import near
from convergence.catalog.yamltext import KeyPath

_EXPECTED: Final = {
    "literal_error": "one of $expected",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "decimal_type": "a number",
    "decimal_parsing": "a number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text (put it in quotes)",
    "dict_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "model_type": "a mapping",
    "greater_than_equal": "$ge or more",
    "greater_than": "more than $gt",
    "less_than_equal": "$le or less",
    "less_than": "less than $lt",
    "too_short": "at least $min_length",
    "too_long": "at most $max_length",
    "string_pattern_mismatch": "text like $pattern",
}


def describe(error: ValidationError, model: type[BaseModel]) -> Iterator[tuple[KeyPath, str, str | None]]:
    """(key path, message, expected) of each error."""
    for details in error.errors(include_input=False, include_url=False):
        at: KeyPath = tuple(details["loc"])
        match details["type"]:
            case "extra_forbidden":
                known = _fields_at(model, at[:-1])
                yield at, "is not known here" + near(str(at[-1]), known), ", ".join(known) or None
            case "missing":
                yield at, "is missing", None
            case "value_error":
                yield at, str(details.get("ctx", {}).get("error", details["msg"])), None
            case kind:
                template = _EXPECTED.get(kind)
                expected = Template(template).safe_substitute(details.get("ctx", {})) if template else details["msg"]
                yield at, "is not valid", expected


def _fields_at(model: type[BaseModel], at: KeyPath) -> list[str]:
    """The field names of the model at a key path: steps into lists and unions where the path does."""
    models = [model]
    for part in at:
        fields = [one.model_fields[part] for one in models if isinstance(part, str) and part in one.model_fields]
        models = [inner for field in fields for inner in _models_in(field.annotation)] or models
    return sorted({field.alias or name for one in models for name, field in one.model_fields.items()})


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
