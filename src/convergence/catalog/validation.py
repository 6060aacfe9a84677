"""Pydantic's errors as what to correct; the refused value stays out, since it may be a secret."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
    "union_tag_invalid": "$discriminator: one of $expected_tags",
    "union_tag_not_found": "a mapping with $discriminator",
}


def describe(error: ValidationError, model: type[BaseModel]) -> Iterator[tuple[KeyPath, str, str | None]]:
    """(key path, message, expected) of each error."""
    for details in error.errors(include_input=False, include_url=False):
        at, _ = _walk(model, details["loc"])
        match details["type"]:
            case "extra_forbidden":
                known = _fields_in(_walk(model, details["loc"][:-1])[1])
                yield at, "is not known here" + near(str(at[-1]), known), ", ".join(known) or None
            case "missing":
                yield at, "is missing", None
            case "value_error":
                yield at, str(details.get("ctx", {}).get("error", details["msg"])), None
            case kind:
                template = _EXPECTED.get(kind)
                expected = Template(template).safe_substitute(details.get("ctx", {})) if template else details["msg"]
                yield at, "is not valid", expected


def _walk(model: type[BaseModel], loc: KeyPath) -> tuple[KeyPath, list[type[BaseModel]]]:
    """The keys of a place, and the models that may stand there.

    Pydantic puts the chosen kind of a union with a discriminator into the place as if it were a key.
    """
    at: list[str | int] = []
    models, discriminator = [model], None
    for part in loc:
        if discriminator is not None:
            models = [one for one in models if part in get_args(one.model_fields[discriminator].annotation)]
            discriminator = None
            continue
        at.append(part)
        fields = [one.model_fields[part] for one in models if isinstance(part, str) and part in one.model_fields]
        models = [inner for field in fields for inner in _models_in(field.annotation)] or models
        discriminator = next((field.discriminator for field in fields if isinstance(field.discriminator, str)), None)
    return tuple(at), models


def _fields_in(models: Iterable[type[BaseModel]]) -> list[str]:
    return sorted({field.alias or name for one in models for name, field in one.model_fields.items()})


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
