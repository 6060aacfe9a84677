"""Query parameters of the report endpoints, read strictly."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from convergence.simulator.cursors import bind, read_cursor, write_cursor
from convergence.simulator.openai.refusals import bad_parameter, unknown_parameter

WIDTHS = {"1d": 86_400, "1h": 3_600, "1m": 60}
USAGE_LIMITS = {"1d": (7, 31), "1h": (24, 168), "1m": (60, 1440)}
COST_LIMITS = {"1d": (7, 180)}


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """A checked request for buckets. `next_start` differs from `start` on later pages."""

    start: int
    end: int
    width: int
    limit: int
    next_start: int
    group_by: tuple[str, ...]
    filters: tuple[tuple[str, tuple[str, ...]], ...]
    binding: bytes

    def cursor(self, start: int) -> str:
        return write_cursor(self.binding, start, self.end)


@dataclass(frozen=True, slots=True)
class ReportRules:
    """What one endpoint accepts."""

    group_by: tuple[str, ...]
    filters: Mapping[str, str]
    limits: Mapping[str, tuple[int, int]]
    flags: tuple[str, ...] = ()


def read_report_request(pairs: Sequence[tuple[str, str]], rules: ReportRules, *, now: int) -> ReportRequest:
    """Check every parameter of a report request.

    Raises:
        Refusal: 400 that names the parameter.
    """
    known = {"start_time", "end_time", "bucket_width", "limit", "page", "group_by", *rules.filters, *rules.flags}
    values = _gather(pairs, known)
    width = _one_of(values, "bucket_width", rules.limits, "1d")
    default, highest = rules.limits[width]
    start = _integer(values, "start_time")
    if start is None:
        raise bad_parameter("start_time", "Missing required parameter: 'start_time'.", "missing_required_parameter")
    end = _integer(values, "end_time")
    if end is not None and end <= start:
        raise bad_parameter("end_time", "'end_time' must be greater than 'start_time'.")
    limit = _integer(values, "limit")
    if limit is not None and not 1 <= limit <= highest:
        raise bad_parameter("limit", f"'limit' must be between 1 and {highest} for bucket_width={width}.")
    binding = bind(values)
    next_start, end_bound = _position(values, binding, start, min(end or now, now))
    return ReportRequest(
        start=start,
        end=end_bound,
        width=WIDTHS[width],
        limit=limit or default,
        next_start=next_start,
        group_by=_group_by(values, rules),
        filters=_filters(values, rules),
        binding=binding,
    )


def _gather(pairs: Sequence[tuple[str, str]], known: Collection[str]) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        plain = name.removesuffix("[]")
        if plain not in known:
            raise unknown_parameter(name)
        values.setdefault(plain, []).append(value)
    return values


def _single(values: Mapping[str, list[str]], name: str) -> str | None:
    found = values.get(name)
    if not found:
        return None
    if len(found) > 1:
        raise bad_parameter(name, f"'{name}' may be given once.")
    return found[0]


def _integer(values: Mapping[str, list[str]], name: str) -> int | None:
    text = _single(values, name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise bad_parameter(name, f"Invalid type for '{name}': expected an integer.", "invalid_type")
    return int(text)


def _one_of(values: Mapping[str, list[str]], name: str, allowed: Collection[str], default: str) -> str:
    text = _single(values, name) or default
    if text not in allowed:
        raise bad_parameter(name, f"Invalid value: '{text}'. Supported values are: {', '.join(allowed)}.")
    return text


def _group_by(values: Mapping[str, list[str]], rules: ReportRules) -> tuple[str, ...]:
    asked = values.get("group_by", [])
    for name in asked:
        if name not in rules.group_by:
            allowed = ", ".join(rules.group_by)
            raise bad_parameter("group_by", f"Invalid value for group_by: '{name}'. Supported values are: {allowed}.")
    return tuple(name for name in rules.group_by if name in asked)


def _filters(values: Mapping[str, list[str]], rules: ReportRules) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found = [(rules.filters[name], tuple(values[name])) for name in rules.filters if name in values]
    flags = [(name, (_one_of(values, name, ("true", "false"), "false"),)) for name in rules.flags if name in values]
    return (*found, *flags)


def _position(values: Mapping[str, list[str]], binding: bytes, start: int, end: int) -> tuple[int, int]:
    """Where the page begins and the report ends: a cursor keeps the `now` of its first page."""
    page = _single(values, "page")
    if page is None:
        return start, end
    try:
        return read_cursor(page, binding)
    except ValueError as error:
        raise bad_parameter("page", str(error)) from None
