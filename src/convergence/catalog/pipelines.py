"""Pipeline files: YAML to frozen models, with every fault at its line."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from convergence.catalog.sources import Source
from convergence.catalog.tables import near
from convergence.catalog.templates import REQUEST_KEY, RUN_NAMES, WINDOW_NAMES, build_names, check_names
from convergence.catalog.tree import Place
from convergence.catalog.validation import describe
from convergence.catalog.yamltext import KeyPath, YamlText, load_yaml
from convergence.errors import ConfigError, Fault

OnFailure = Literal["stop", "alert", "continue"]
Finding = tuple[KeyPath, str, str | None]  # where, what is wrong, what was expected
CheckStep = Callable[[str, Mapping[str, Any]], Sequence[tuple[str, str, str | None]]]

STEP_VERBS: Final = ("extract", "transform", "load", "validate", "notify", "decrypt", "setup")
MAX_STEP_MINUTES: Final = 120
SOURCE_STEPS: Final = "rest."  # steps of these processors read from the pipeline's own source

_PIPELINE_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)
_STEP_ID: Final = re.compile(rf"({'|'.join(STEP_VERBS)})_[A-Za-z0-9_]{{1,80}}", re.ASCII)
_ADDING: Final = ("append", "merge")  # write modes that leave the rows of others
_PARAMETER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Step:
    """One step; `config` has the processor's own keys."""

    step_id: str
    ps_type: str
    depends_on: tuple[str, ...]
    timeout_minutes: int
    on_failure: OnFailure
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One pipeline file."""

    pipeline_id: str
    description: str
    schedule: str | None
    timeout_minutes: int
    retry_attempts: int
    parameters: Mapping[str, Any]
    steps: tuple[Step, ...]
    provider: str
    domain: str
    path: Path
    folder: Path
    config_version: str
    location: str = ""  # what a path of the API names: provider/domain or provider/domain/pipeline
    source: Source | None = None


class _StepKeys(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, frozen=True, hide_input_in_errors=True)

    step_id: str
    ps_type: str
    depends_on: list[str] = []
    timeout_minutes: Annotated[int, Field(ge=1, le=MAX_STEP_MINUTES)] | None = None
    on_failure: OnFailure = "stop"


class _PipelineKeys(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    pipeline_id: str
    description: str = ""
    schedule: str | None = None
    timeout_minutes: Annotated[int, Field(ge=1, le=1440)] = 30
    retry_attempts: Annotated[int, Field(ge=0, le=10)] = 3
    parameters: dict[str, Any] = {}
    source: Source | None = None
    steps: Annotated[list[_StepKeys], Field(min_length=1)]


def load_pipeline(path: Path, place: Place) -> Pipeline:
    """The pipeline in a file at its place below the root. Its ps_types are not looked up: `check_steps` does that.

    Raises:
        ConfigError: every fault, with line and key.
    """
    document = load_yaml(path)
    keys, faults = _read_keys(document)
    if keys is not None:
        faults += _pipeline_faults(document, keys)
    else:
        faults += _loose_faults(document)
    if keys is None or faults:
        raise ConfigError(sorted(faults, key=lambda fault: fault.line or 0))
    return _build(document, keys, path, place)


def check_steps(document: YamlText, check_step: CheckStep) -> list[Fault]:
    """What the processors have against their steps' keys, in a good file or a broken one."""
    return [
        key_fault(document, ("steps", index, *_key_path(key)), message, expected)
        for index, ps_type, config in raw_steps(document)
        for key, message, expected in check_step(ps_type, config)
    ]


def raw_steps(document: YamlText) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """(index, ps_type, the processor's own keys) of every step that names a processor."""
    value = _as_dict(document.value)
    for index, step in enumerate(_as_list(value.get("steps"))):
        if ps_type := _as_text(_as_dict(step).get("ps_type")):
            yield index, ps_type, {key: one for key, one in step.items() if key not in _StepKeys.model_fields}


def key_fault(document: YamlText, at: KeyPath, message: str, expected: str | None) -> Fault:
    """A fault at a key of the file; a step is called by its id."""
    return Fault(message, document.path, document.line(at), _shown(document, at) or None, expected)


def _read_keys(document: YamlText) -> tuple[_PipelineKeys | None, list[Fault]]:
    if not isinstance(document.value, dict):
        return None, [key_fault(document, (), "is not a pipeline", "a mapping with pipeline_id and steps")]
    try:
        return _PipelineKeys.model_validate(document.value), []
    except ValidationError as error:
        return None, [key_fault(document, *described) for described in describe(error, _PipelineKeys)]


def _loose_faults(document: YamlText) -> list[Fault]:
    """The checks that make sense on a file whose shape is wrong elsewhere."""
    if not isinstance(document.value, dict):
        return []
    raw = [step if isinstance(step, dict) else {} for step in _as_list(document.value.get("steps"))]
    steps = [
        _StepKeys.model_construct(
            step_id=_as_text(step.get("step_id")),
            ps_type=_as_text(step.get("ps_type")),
            depends_on=[one for one in _as_list(step.get("depends_on")) if isinstance(one, str)],
            timeout_minutes=None,
        )
        for step in raw
    ]
    keys = _PipelineKeys.model_construct(
        pipeline_id=_as_text(document.value.get("pipeline_id")),
        schedule=_as_text(document.value.get("schedule")) or None,
        parameters=_as_dict(document.value.get("parameters")),
        source=document.value.get("source"),
        steps=steps,
    )
    return [fault for fault in _pipeline_faults(document, keys) if _is_given(document.value, fault)]


def _is_given(value: Mapping[str, Any], fault: Fault) -> bool:
    """A key that is missing, or not text, has its fault already."""
    top = (fault.key or "").split(".")[0]
    return isinstance(value.get(top), str | list | dict) or not top


def _pipeline_faults(document: YamlText, keys: _PipelineKeys) -> list[Fault]:
    found = [
        *_head_faults(keys),
        *_step_faults(keys),
        *_graph_faults(keys.steps),
        *_table_faults(keys.steps),
        *_template_faults(document, keys),
    ]
    return [key_fault(document, *one) for one in found]


def _head_faults(keys: _PipelineKeys) -> Iterator[Finding]:
    if not _PIPELINE_ID.fullmatch(keys.pipeline_id):
        yield ("pipeline_id",), f"{keys.pipeline_id!r} cannot name a pipeline", "1 to 100 letters, digits, _ and -"
    if keys.schedule is not None and (problem := _cron_problem(keys.schedule)):
        yield ("schedule",), f"{keys.schedule!r} is not a schedule: {problem}", "five cron fields, in UTC"
    for name in keys.parameters:
        if not _PARAMETER.fullmatch(name):
            yield ("parameters", name), "cannot name a parameter", "letters, digits and _, not starting with a digit"


def _cron_problem(schedule: str) -> str | None:
    from cronsim import CronSim, CronSimError

    if len(schedule.split()) != 5:
        return f"it has {len(schedule.split())} fields"
    try:
        next(CronSim(schedule, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        return str(error).lower()
    except StopIteration:
        return "it never comes"
    return None


def _step_faults(keys: _PipelineKeys) -> Iterator[Finding]:
    verbs, seen = "|".join(STEP_VERBS), dict[str, int]()
    for index, step in enumerate(keys.steps):
        at: KeyPath = ("steps", index)
        if step.step_id and not _STEP_ID.fullmatch(step.step_id):
            hint = near(step.step_id.split("_")[0], STEP_VERBS)
            yield (*at, "step_id"), f"{step.step_id!r} does not start with a verb{hint}", f"{{{verbs}}}_target"
        if step.step_id and seen.setdefault(step.step_id, index) != index:
            yield (*at, "step_id"), f"{step.step_id!r} is also step {seen[step.step_id] + 1}", "each step_id once"
        if step.timeout_minutes and step.timeout_minutes > keys.timeout_minutes:
            yield (*at, "timeout_minutes"), "is longer than the pipeline's", f"{keys.timeout_minutes} or less"
        if keys.source is None and step.ps_type.startswith(SOURCE_STEPS):
            yield (*at, "ps_type"), "reads from a source, which the pipeline has not", "source at the top of the file"


def _graph_faults(steps: Sequence[_StepKeys]) -> Iterator[Finding]:
    known = [step.step_id for step in steps]
    for index, step in enumerate(steps):
        for place, name in enumerate(step.depends_on):
            if name not in known:
                yield ("steps", index, "depends_on", place), f"there is no step {name!r}{near(name, known)}", None
    sorter = TopologicalSorter[str]()
    for step in steps:
        sorter.add(step.step_id, *step.depends_on)
    try:
        sorter.prepare()
    except CycleError as error:
        circle: list[str] = error.args[1][::-1]
        at = ("steps", known.index(circle[0]), "depends_on")
        yield at, f"goes in a circle: {' -> '.join(circle)}", "steps that depend on earlier ones only"


def _table_faults(steps: Sequence[_StepKeys]) -> Iterator[Finding]:
    """Steps that replace what another one has just written: the days of one of them would be lost, and nobody told."""
    writers: dict[str, list[tuple[int, str, bool]]] = {}
    for index, step in enumerate(steps):
        given = step.model_extra or {}
        if isinstance(table := given.get("table"), str):
            is_alone = "part" not in given and given.get("write_mode") not in _ADDING
            writers.setdefault(table, []).append((index, step.step_id, is_alone))
    for table, found in writers.items():
        if not any(is_alone for *_, is_alone in found):
            continue
        for index, *_ in found[1:]:
            message = f"{table} is also written by {found[0][1]}, and one would replace what the other wrote"
            yield ("steps", index, "table"), message, "a table for each step, or write_mode: append or merge in all"


def _template_faults(document: YamlText, keys: _PipelineKeys) -> Iterator[Finding]:
    allowed = build_names(keys.parameters)
    for index, step in enumerate(_as_list(document.value.get("steps"))):
        for key, value in _as_dict(step).items():
            known = (*allowed, *WINDOW_NAMES) if key == REQUEST_KEY else allowed
            for message, expected in check_names(value, known):
                yield ("steps", index, key), message, expected
    for message, expected in check_names(keys.parameters, RUN_NAMES):
        yield ("parameters",), message, expected


def _build(document: YamlText, keys: _PipelineKeys, path: Path, place: Place) -> Pipeline:
    return Pipeline(
        pipeline_id=keys.pipeline_id,
        description=keys.description,
        schedule=keys.schedule,
        timeout_minutes=keys.timeout_minutes,
        retry_attempts=keys.retry_attempts,
        parameters=keys.parameters,
        steps=tuple(_build_step(step, keys.timeout_minutes) for step in keys.steps),
        provider=place.provider,
        domain=place.domain,
        path=path,
        folder=path.parent,
        config_version=hashlib.sha256(document.text.encode()).hexdigest()[:12],
        location=str(place),
        source=keys.source,
    )


def _build_step(keys: _StepKeys, pipeline_minutes: int) -> Step:
    """A step without a timeout of its own has the pipeline's, as far as a step may have it."""
    return Step(
        step_id=keys.step_id,
        ps_type=keys.ps_type,
        depends_on=tuple(keys.depends_on),
        timeout_minutes=keys.timeout_minutes or min(pipeline_minutes, MAX_STEP_MINUTES),
        on_failure=keys.on_failure,
        config=dict(keys.model_extra or {}),
    )


def _shown(document: YamlText, at: KeyPath) -> str:
    """steps.extract_usage.timeout_minutes: a step by its id where it has one."""
    parts = [str(part) for part in at]
    if len(at) > 1 and at[0] == "steps" and isinstance(at[1], int):
        step = _as_dict(_as_list(document.value.get("steps"))[at[1]])
        parts[1] = _as_text(step.get("step_id")) or parts[1]
    return ".".join(parts)


def _key_path(dotted: str) -> KeyPath:
    return tuple(int(part) if part.isdecimal() else part for part in dotted.split(".") if part)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _as_dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else ""
