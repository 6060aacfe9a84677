"""The strict way from a page to columns: value by value, so that each bad row is named and the good ones are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from convergence.connectors.columns import LATEST_SECOND, LONGEST_TEXT, arrow_schema
from convergence.connectors.layout import DECIMALS, FieldSpec, PageLayout
from convergence.connectors.redaction import redact_json
from convergence.errors import ProviderMisbehaved
from convergence.kit.money import parse_amount

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that was not taken. `bucket` holds the bucket's fields, as far as they were good, to tell its day."""

    reason: str
    error_path: str
    raw_json: str
    bucket: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StrictRows:
    """Good rows in the layout's columns, bad rows with their reasons, and members that no field names."""

    rows: pa.RecordBatch
    rejects: list[Reject]
    unknown_fields: frozenset[str]


def read_strictly(page: Mapping[str, Any], layout: PageLayout) -> StrictRows:
    """Every row of a parsed page, good or bad.

    Raises:
        ProviderMisbehaved: the outer list is not there: that is no page of this kind.
    """
    reader = _Reader(layout)
    reader.read(page)
    return StrictRows(_build(reader.good, layout), reader.rejects, frozenset(reader.unknown))


class _Refused(Exception):
    def __init__(self, reason: str, path: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path


class _Reader:
    """Walks a page once."""

    def __init__(self, layout: PageLayout) -> None:
        self._layout = layout
        self.good: list[list[Any]] = []
        self.rejects: list[Reject] = []
        self.unknown: set[str] = set()

    def read(self, page: Mapping[str, Any]) -> None:
        outer, path = self._layout.lists[0], self._layout.outer_path
        items: Any = page
        for part in path:
            items = items.get(part) if isinstance(items, dict) else None
        if not isinstance(items, list):
            raise ProviderMisbehaved(f"the page has no list {outer!r}", code="page_without_rows")
        self._note(page, {path[0], *self._layout.envelope})
        for index, item in enumerate(items):
            at = f"{outer}[{index}]"
            if len(self._layout.lists) == 1:
                self._read_result(item, at, {})
            else:
                self._read_bucket(item, at)

    def _read_bucket(self, bucket: Any, at: str) -> None:
        inner = self._layout.lists[1]
        try:
            values = self._values(bucket, self._layout.bucket_fields, at, extra={inner})
        except _Refused as refused:
            self._reject_bucket(bucket, refused)
            return
        results = bucket.get(inner)
        if not isinstance(results, list):
            self._reject(bucket, _Refused(f"expected a list, got {_kind(results)}", f"{at}.{inner}"), values)
            return
        for index, result in enumerate(results):
            self._read_result(result, f"{at}.{inner}[{index}]", values)

    def _read_result(self, result: Any, at: str, bucket: Mapping[str, Any]) -> None:
        try:
            values = self._values(result, self._layout.result_fields, at, extra=set())
        except _Refused as refused:
            self._reject(result, refused, bucket)
        else:
            self.good.append([*bucket.values(), *values.values()])

    def _values(self, item: Any, specs: tuple[FieldSpec, ...], at: str, extra: set[str]) -> dict[str, Any]:
        if not isinstance(item, dict):
            raise _Refused(f"expected an object, got {_kind(item)}", at)
        self._note(item, {spec.path[0] for spec in specs} | extra)
        return {spec.name: _value(item, spec, at) for spec in specs}

    def _reject_bucket(self, bucket: Any, refused: _Refused) -> None:
        """A bucket without a day takes its results with it, one reject each, so that the count is right."""
        results = bucket.get(self._layout.lists[1]) if isinstance(bucket, dict) else None
        for result in results if isinstance(results, list) and results else [bucket]:
            self._reject(result, refused, {})

    def _reject(self, raw: Any, refused: _Refused, bucket: Mapping[str, Any]) -> None:
        self.rejects.append(Reject(refused.reason, refused.path, redact_json(raw), dict(bucket)))

    def _note(self, item: Mapping[str, Any], known: set[str]) -> None:
        self.unknown.update(item.keys() - known - self._layout.expected)


def _value(item: Mapping[str, Any], spec: FieldSpec, at: str) -> Any:
    place = f"{at}.{'.'.join(spec.path)}"
    raw = _dig(item, spec.path, at)
    if raw is None:
        if spec.required:
            raise _Refused("required and null", place)
        return None
    try:
        value = _CASTS[spec.type](raw, spec)
    except (TypeError, ValueError, OverflowError) as error:
        raise _Refused(str(error), place) from error
    if spec.non_negative and value < 0:
        raise _Refused("negative", place)
    return value


def _dig(item: Mapping[str, Any], path: tuple[str, ...], at: str) -> Any:
    value: Any = item
    for depth, part in enumerate(path):
        if value is None:
            return None
        if not isinstance(value, dict):
            raise _Refused(f"expected an object, got {_kind(value)}", ".".join((at, *path[:depth])))
        value = value.get(part)
    return value


def _text(raw: Any, spec: FieldSpec) -> str:
    if spec.from_number and isinstance(raw, int) and not isinstance(raw, bool):
        return str(raw)
    if not isinstance(raw, str):
        raise TypeError(f"expected a string, got {_kind(raw)}")
    if len(raw.encode("utf-8", "surrogatepass")) > LONGEST_TEXT:
        raise ValueError(f"a string longer than {LONGEST_TEXT} bytes")
    if "\x00" in raw or not _is_unicode(raw):
        raise ValueError("a string with a NUL or half a surrogate pair")
    return raw


def _integer(raw: Any, _spec: FieldSpec) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise TypeError(f"expected a whole number, got {_kind(raw)}")
    if not -(2**63) <= raw < 2**63:
        raise ValueError("out of the range of INT64")
    return raw


def _amount(raw: Any, spec: FieldSpec) -> Decimal:
    if isinstance(raw, bool) or not isinstance(raw, int | Decimal | str):
        raise TypeError(f"expected a number, got {_kind(raw)}")
    # Decimal() takes underscores and spaces, which no number in JSON has.
    if isinstance(raw, str) and (not raw.isascii() or "_" in raw or raw != raw.strip()):
        raise ValueError("expected a number, got other text")
    try:
        return parse_amount(raw, decimals=DECIMALS[spec.unit])
    except ValueError:
        raise ValueError("not a finite number below 1e29") from None


def _flag(raw: Any, _spec: FieldSpec) -> bool:
    if not isinstance(raw, bool):
        raise TypeError(f"expected true or false, got {_kind(raw)}")
    return raw


def _moment(raw: Any, spec: FieldSpec) -> datetime:
    if spec.time_format == "rfc3339":
        return _written_moment(raw, spec)
    number = _written_number(raw) if spec.time_format == "unix_ms_text" else _integer(raw, spec)
    seconds, milliseconds = (number, 0) if spec.time_format == "unix_s" else divmod(number, 1_000)
    if not 0 <= seconds <= LATEST_SECOND:
        raise ValueError("not a time between 1970 and 9999")
    return _EPOCH + timedelta(seconds=seconds, milliseconds=milliseconds)


def _written_number(raw: Any) -> int:
    if not isinstance(raw, str) or not raw.isascii() or not raw.isdigit() or len(raw) > 20:
        raise ValueError("expected a whole number in a string")
    return int(raw)


def _written_moment(raw: Any, spec: FieldSpec) -> datetime:
    try:
        moment = datetime.fromisoformat(_text(raw, spec))
    except ValueError:
        raise ValueError("expected a time such as 2026-01-31T00:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return moment.astimezone(UTC)


def _day(raw: Any, spec: FieldSpec) -> date:
    try:
        return date.fromisoformat(_text(raw, spec))
    except ValueError:
        raise ValueError("expected a day such as 2026-01-31") from None


_CASTS: dict[str, Callable[[Any, FieldSpec], Any]] = {
    "STRING": _text,
    "INT64": _integer,
    "NUMERIC": _amount,
    "BOOL": _flag,
    "TIMESTAMP": _moment,
    "DATE": _day,
}


def _build(good: list[list[Any]], layout: PageLayout) -> pa.RecordBatch:
    schema = arrow_schema(layout)
    columns: Iterator[tuple[Any, ...]] = zip(*good, strict=True) if good else iter([()] * len(schema))
    arrays = [pa.array(column, type=entry.type) for column, entry in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | Decimal():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"
