"""Query parameters of the report endpoints, read strictly."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from convergence.kit.window import midnight
from convergence.simulator.anthropic.refusals import bad_parameter
from convergence.simulator.cursors import bind, read_cursor, write_cursor

Pairs = Sequence[tuple[str, str]]
Values = Mapping[str, Sequence[str]]

WIDTHS = {"1d": 86_400, "1h": 3_600, "1m": 60}
USAGE_LIMITS = {"1d": (7, 31), "1h": (24, 168), "1m": (60, 1440)}
COST_LIMITS = {"1d": (7, 31)}
RECORD_LIMITS = (20, 1_000)
MOST_DIMENSIONS = 5


@dataclass(frozen=True, slots=True)
class ReportRules:
    """What one report accepts. `filters` are parameters by the dimension that they filter."""

    group_by: tuple[str, ...]
    limits: Mapping[str, tuple[int, int]]
    filters: Mapping[str, str]


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
class DayRequest:
    """A checked request for the records of one day."""

    day: date
    limit: int
    first: int
    binding: bytes

    def cursor(self, first: int) -> str:
        return write_cursor(self.binding, first, 0)


def gather(pairs: Pairs, known: Collection[str]) -> dict[str, list[str]]:
    """Parameters by name; lists carry brackets.

    Raises:
        Refusal: 400 that names an unknown parameter.
    """
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        if name not in known:
            raise bad_parameter(name, "Extra inputs are not permitted")
        values.setdefault(name, []).append(value)
    return values


def read_report_request(pairs: Pairs, rules: ReportRules, *, now: int) -> ReportRequest:
    """Check every parameter of a report request. Both ends are snapped to buckets.

    Raises:
        Refusal: 400 that names the parameter.
    """
    values = gather(pairs, {"starting_at", "ending_at", "bucket_width", "limit", "page", "group_by[]", *rules.filters})
    width_name = single(values, "bucket_width") or "1d"
    if width_name not in rules.limits:
        raise bad_parameter("bucket_width", f"Input should be {' or '.join(rules.limits)}")
    width = WIDTHS[width_name]
    start = _moment(values, "starting_at")
    if start is None:
        raise bad_parameter("starting_at", "Field required")
    end = _moment(values, "ending_at")
    if end is not None and end <= start:
        raise bad_parameter("ending_at", "ending_at must be after starting_at")
    start -= start % width
    last = -(-min(end or now, now) // width) * width
    binding = bind(values)
    next_start, last = _position(values, binding, start, last)
    return ReportRequest(
        start=start,
        end=last,
        width=width,
        limit=read_limit(values, rules.limits[width_name]),
        next_start=next_start,
        group_by=_group_by(values, rules),
        filters=tuple((rules.filters[name], tuple(values[name])) for name in rules.filters if name in values),
        binding=binding,
    )


def read_day_request(pairs: Pairs) -> DayRequest:
    """A single UTC day: there is no range.

    Raises:
        Refusal: 400 that names the parameter.
    """
    values = gather(pairs, {"starting_at", "limit", "page"})
    text = single(values, "starting_at")
    if text is None:
        raise bad_parameter("starting_at", "Field required")
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise bad_parameter("starting_at", "Input should be a date in YYYY-MM-DD format") from None
    binding = bind(values)
    first, _ = _position(values, binding, 0, 0)
    return DayRequest(day, read_limit(values, RECORD_LIMITS), first, binding)


def single(values: Values, name: str) -> str | None:
    found = values.get(name)
    if not found:
        return None
    if len(found) > 1:
        raise bad_parameter(name, "Input should be a single value")
    return found[0]


def read_limit(values: Values, limits: tuple[int, int]) -> int:
    default, highest = limits
    text = single(values, "limit")
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= highest:
        raise bad_parameter("limit", f"Input should be a whole number between 1 and {highest}")
    return int(text)


def _moment(values: Values, name: str) -> int | None:
    text = single(values, name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise bad_parameter(name, "Input should be a valid datetime") from None
    if "T" not in text:
        return int(midnight(moment.date()).timestamp())
    if moment.tzinfo is None:
        raise bad_parameter(name, "Input should have timezone info")
    return int(moment.timestamp())


def _group_by(values: Values, rules: ReportRules) -> tuple[str, ...]:
    asked = values.get("group_by[]", ())
    for name in asked:
        if name not in rules.group_by:
            raise bad_parameter("group_by[]", f"Input should be {', '.join(rules.group_by)}")
    if len(set(asked)) > MOST_DIMENSIONS:
        raise bad_parameter("group_by[]", f"List should have at most {MOST_DIMENSIONS} items")
    return tuple(name for name in rules.group_by if name in asked)


def _position(values: Values, binding: bytes, start: int, end: int) -> tuple[int, int]:
    page = single(values, "page")
    if page is None:
        return start, end
    try:
        return read_cursor(page, binding)
    except ValueError as error:
        raise bad_parameter("page", str(error)) from None
