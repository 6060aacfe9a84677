"""What is asked for: a request whose templates name the days of one window."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

from convergence.catalog.sources import ApiPath, check_params
from convergence.catalog.templates import WINDOW_NAMES, fill, find_names
from convergence.kit.jsontext import format_time, plain
from convergence.kit.window import Window, midnight

Value = str | int


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for one window: `path` keeps its places, which `path_values` fill."""

    path: str
    path_values: Mapping[str, str]
    params: tuple[tuple[str, str], ...]
    body: Mapping[str, Any] | None


class Request(BaseModel):
    """A GET, or a query that is posted as JSON. A parameter with a list of values is sent once for each."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    path: ApiPath
    method: Literal["GET", "POST"] = "GET"
    params: Annotated[dict[str, Value | list[Value]], AfterValidator(check_params)] = {}
    body: Annotated[dict[str, Any], AfterValidator(check_params)] | None = None

    @model_validator(mode="after")
    def _check_body(self) -> Self:
        if (self.body is not None) != (self.method == "POST"):
            raise ValueError("has a body with method: POST, and only then")
        return self

    @property
    def names_days(self) -> bool:
        """Whether it asks for certain days."""
        return any(name in WINDOW_NAMES for name in find_names(self.model_dump()))

    def build(self, window: Window, run: Mapping[str, Any]) -> Asked:
        """The request for a window; `run` has what templates of the run may name.

        Raises:
            ConfigError: a template that nothing fills.
        """
        values = {**run, **name_days(window)}
        places = {name: _text(values.get(name, "")) for name in find_names(self.path)}
        params = tuple((name, _text(value)) for name, value in _pairs(fill(self.params, values)))
        body = None if self.body is None else plain(fill(self.body, values))
        return Asked(self.path, places, params, body)


def name_days(window: Window) -> dict[str, Any]:
    """The days of a window in every way that APIs ask for them."""
    start, end = midnight(window.start), midnight(window.end)
    return {
        "start_date": window.start.isoformat(),
        "end_date": window.last.isoformat(),
        "end_date_exclusive": window.end.isoformat(),
        **_name_moment("start_{}", start),
        **_name_moment("end_{}", end - timedelta(seconds=1)),
        **_name_moment("end_{}_exclusive", end),
        "end_epoch_ms": int(end.timestamp()) * 1_000 - 1,
    }


def _name_moment(pattern: str, moment: datetime) -> dict[str, Any]:
    seconds = int(moment.timestamp())
    return {
        pattern.format("time"): format_time(moment),
        pattern.format("epoch"): seconds,
        pattern.format("epoch_ms"): seconds * 1_000,
    }


def _pairs(params: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in params.items():
        for one in value if isinstance(value, list) else [value]:
            yield name, one


def _text(value: Any) -> str:
    return str(plain(value))
