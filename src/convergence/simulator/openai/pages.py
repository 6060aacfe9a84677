"""Report pages: buckets of rows grouped as asked, written straight to JSON text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from operator import add

import msgspec

from convergence.kit.window import midnight
from convergence.simulator.amounts import amount_text
from convergence.simulator.days import DAY_SECONDS, cut
from convergence.simulator.openai.charges import LINES
from convergence.simulator.openai.requests import ReportRequest
from convergence.simulator.openai.streams import Stream
from convergence.simulator.openai.world import OpenAIWorld, cut_rows

Labels = dict[int, str | None]
COST_GROUPS = ("project_id", "line_item", "api_key_id")


class UsageReport:
    """The rows of one usage endpoint under one grouping and filter."""

    def __init__(self, world: OpenAIWorld, stream: Stream, request: ReportRequest) -> None:
        self._world = world
        self._stream = stream
        self._group_by = request.group_by
        self._filters = request.filters
        self._labels: Labels = {}
        fields = ",".join(f'"{field}":%d' for field in stream.fields)
        self._template = f'{{"object":"{stream.object}",{fields},%s}}'

    def results(self, day: date, start: int, end: int) -> Iterator[str]:
        """JSON of the rows between two seconds of a day."""
        show, template = self._stream.show, self._template
        for label, measures in self._grouped(day, start, end).items():
            yield template % (*show(measures), label)

    def _grouped(self, day: date, start: int, end: int) -> dict[str, tuple[int, ...]]:
        groups: dict[str, tuple[int, ...]] = {}
        width = len(self._stream.variants)
        rows = self._world.rows(self._stream, day)
        whole = start == 0 and end == DAY_SECONDS
        for origin, variant, measures in rows if whole else cut_rows(self._stream, rows, start, end):
            label = self._label(origin * width + variant)
            if label is None:
                continue
            held = groups.get(label)
            groups[label] = measures if held is None else tuple(map(add, held, measures))
        return groups

    def _label(self, slot: int) -> str | None:
        if slot not in self._labels:
            self._labels[slot] = _label(self._dimensions(slot), self._stream.group_by, self._group_by, self._filters)
        return self._labels[slot]

    def _dimensions(self, slot: int) -> dict[str, str | bool | None]:
        place, variant = divmod(slot, len(self._stream.variants))
        origin = self._world.origins[place]
        return {
            "project_id": origin.project_id,
            "user_id": origin.user_id,
            "api_key_id": origin.api_key_id,
            **self._stream.variants[variant].dimensions,
        }


class CostReport:
    """Reported cost under one grouping and filter."""

    def __init__(self, world: OpenAIWorld, request: ReportRequest) -> None:
        self._world = world
        self._group_by = request.group_by
        self._filters = request.filters
        self._labels: Labels = {}
        self._organization_id = world.directory.organization_id

    def results(self, day: date, start: int, end: int) -> Iterator[str]:
        """JSON of the cost rows between two seconds of a day."""
        for number, (label, (amount, quantity, line)) in enumerate(self._grouped(day, start, end).items()):
            text = amount_text(amount, self._world.amount_places)
            value = f'"{text}"' if number % 37 == 5 else text
            yield (
                f'{{"object":"organization.costs.result","amount":{{"value":{value},"currency":"usd"}},{label},'
                f'{self._quantity(quantity, line)},"organization_id":"{self._organization_id}"}}'
            )

    def _grouped(self, day: date, start: int, end: int) -> dict[str, tuple[int, int, int]]:
        groups: dict[str, tuple[int, int, int]] = {}
        for cost in self._world.costs(day):
            label = self._label(cost.origin * len(LINES) + cost.line)
            amount = cut(cost.amount, start, end)
            if label is None or not amount:
                continue
            held = groups.get(label, (0, 0, 0))
            groups[label] = (held[0] + amount, held[1] + cut(cost.quantity, start, end), cost.line)
        return groups

    def _label(self, slot: int) -> str | None:
        if slot not in self._labels:
            place, line = divmod(slot, len(LINES))
            origin = self._world.origins[place]
            dimensions: dict[str, str | bool | None] = {
                "project_id": origin.project_id,
                "line_item": LINES[line].text,
                "api_key_id": origin.api_key_id,
            }
            self._labels[slot] = _label(dimensions, COST_GROUPS, self._group_by, self._filters)
        return self._labels[slot]

    def _quantity(self, quantity: int, line: int) -> str:
        unit = LINES[line].unit
        if "line_item" not in self._group_by or unit is None:
            return '"quantity":null,"quantity_unit":null'
        return f'"quantity":{quantity},"quantity_unit":"{unit}"'


def buckets(request: ReportRequest) -> Iterator[tuple[int, int]]:
    """Every bucket from the page's first: edges lie on the width's grid, the ends are cut."""
    start = request.next_start
    while start < request.end:
        end = min(start - start % request.width + request.width, request.end)
        yield start, end
        start = end


def page_body(request: ReportRequest, results: Callable[[date, int, int], bytes]) -> bytes:
    """One page; `results` gives the JSON rows of a part of a day, joined by commas."""
    parts: list[bytes] = []
    following: int | None = None
    for start, end in buckets(request):
        if len(parts) == request.limit:
            following = start
            break
        moment = datetime.fromtimestamp(start, UTC)
        offset = start - int(midnight(moment.date()).timestamp())
        rows = results(moment.date(), offset, offset + end - start)
        parts.append(b'{"object":"bucket","start_time":%d,"end_time":%d,"results":[%b]}' % (start, end, rows))
    more = following is not None
    cursor = msgspec.json.encode(request.cursor(following) if following is not None else None)
    tail = b'],"has_more":%b,"next_page":%b}' % (b"true" if more else b"false", cursor)
    return b'{"object":"page","data":[' + b",".join(parts) + tail


def _label(
    dimensions: dict[str, str | bool | None],
    names: tuple[str, ...],
    group_by: tuple[str, ...],
    filters: tuple[tuple[str, tuple[str, ...]], ...],
) -> str | None:
    """The dimensions as JSON members, null unless grouped; None for what the filters leave out."""
    for name, wanted in filters:
        value = dimensions[name]
        text = str(value).lower() if isinstance(value, bool) else value
        if text not in wanted:
            return None
    shown = {name: dimensions[name] if name in group_by else None for name in names}
    return msgspec.json.encode(shown).decode()[1:-1]
