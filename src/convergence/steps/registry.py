"""Processors by name: a ps_type is a module path below the processors package, and nothing is registered."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from convergence.catalog.schemas import TableSchema
from convergence.catalog.tables import near
from convergence.catalog.templates import find_names
from convergence.catalog.validation import describe
from convergence.catalog.yamltext import KeyPath
from convergence.errors import ConfigError, Fault
from convergence.steps.context import Processor

Finding = tuple[str, str, str | None]  # dotted key, what is wrong, what was expected
FindSchema = Callable[[str], TableSchema]
CheckTables = Callable[[Mapping[str, Any], FindSchema], Iterable[Finding]]

PACKAGE: Final = "convergence.processors"
ALIASES: Final = {
    "gcp.bigquery_to_bigquery": "gcp.bq_etl",
    "shared.email_notification": "notify_systems.email_notification",
}

_PS_TYPE: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+", re.ASCII)
_OPENER: Final = re.compile(r"^(async )?def get_engine\(", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class LoadedProcessor:
    """A processor module: its name, the model of its step keys, its engine."""

    ps_type: str
    config_model: type[BaseModel]
    engine: Processor


def load_processor(ps_type: str, *, package: str = PACKAGE) -> LoadedProcessor:
    """Find a processor, older names included, and open its engine.

    An ImportError inside the module is let through: it is a defect or a missing library, not a wrong name.

    Raises:
        ConfigError: there is no such processor, or the module has no Config or no get_engine.
    """
    name = ALIASES.get(ps_type, ps_type)
    module = _import(name, package)
    return LoadedProcessor(name, _config_model(module, ps_type), _get_engine(module, ps_type)())


def check_step(
    ps_type: str, config: Mapping[str, Any], *, package: str = PACKAGE, find_schema: FindSchema | None = None
) -> list[Finding]:
    """What a processor has against a step's keys, as (dotted key, message, expected); the module is imported.

    A key that holds a template has its value only when the step runs, and is checked then. With `find_schema` a module
    that has a `check` function says what the tables that its keys name have against them.
    """
    try:
        module = _import(ALIASES.get(ps_type, ps_type), package)
        model = _config_model(module, ps_type)
    except ConfigError as error:
        return [(fault.key or "ps_type", fault.message, fault.expected) for fault in error.faults]
    found = [*_check_keys(model, config)]
    checker: CheckTables | None = getattr(module, "check", None)
    return found if checker is None or find_schema is None else [*found, *checker(config, find_schema)]


def _check_keys(model: type[BaseModel], config: Mapping[str, Any]) -> Iterator[Finding]:
    try:
        model.model_validate(dict(config))
    except ValidationError as error:
        for at, message, expected in describe(error, model):
            if not _is_template(config, at):
                yield ".".join(map(str, at)), message, expected


def _is_template(config: Mapping[str, Any], at: KeyPath) -> bool:
    value: Any = config
    for part in at:
        inside = isinstance(value, Mapping | list) and (part in value if isinstance(value, Mapping) else True)
        value = value[part] if inside else None
    return isinstance(value, str) and any(find_names(value))


def known_ps_types(*, package: str = PACKAGE) -> list[str]:
    """Every name that `load_processor` takes but the older ones, sorted; no processor is imported."""
    spec = importlib.util.find_spec(package)
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    return sorted({name for folder in folders for name in _names_below(folder)})


def _names_below(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*.py"):
        name = ".".join(path.relative_to(folder).with_suffix("").parts)
        if _PS_TYPE.fullmatch(name) and _OPENER.search(path.read_text(encoding="utf-8")):
            yield name


def _import(name: str, package: str) -> ModuleType:
    if not _PS_TYPE.fullmatch(name) or not _exists(name, package):
        raise _unknown(name, package)
    return importlib.import_module(f"{package}.{name}")


def _exists(name: str, package: str) -> bool:
    """Looks from the top down, as find_spec imports the packages on the way and raises where one is missing."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        spec = importlib.util.find_spec(".".join([package, *parts[:count]]))
        if spec is None or (count < len(parts) and spec.submodule_search_locations is None):
            return False
    return spec is not None and spec.submodule_search_locations is None


def _unknown(name: str, package: str) -> ConfigError:
    known = known_ps_types(package=package)
    fault = Fault(f"there is no processor {name!r}" + near(name, known), key="ps_type", expected=_listed(known))
    return ConfigError(fault, hint="A ps_type is the path of a module below processors/, with dots.")


def _listed(known: list[str]) -> str:
    return f"one of {', '.join(known)}" if known else "a processor, of which there are none"


def _config_model(module: ModuleType, ps_type: str) -> type[BaseModel]:
    model = getattr(module, "Config", None)
    if not isinstance(model, type) or not issubclass(model, BaseModel):
        raise ConfigError(Fault(f"{ps_type} is not a processor", key="ps_type", expected="a module with Config"))
    return model


def _get_engine(module: ModuleType, ps_type: str) -> Any:
    opener = getattr(module, "get_engine", None)
    if not callable(opener):
        raise ConfigError(Fault(f"{ps_type} is not a processor", key="ps_type", expected="a module with get_engine()"))
    return opener
