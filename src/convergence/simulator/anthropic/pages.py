"""Report pages: buckets of rows grouped as asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from operator import add
from typing import Any

import msgspec

from convergence.kit.window import midnight
from convergence.simulator.amounts import amount_text
from convergence.simulator.anthropic.charges import CostRow
from convergence.simulator.anthropic.claude_code import record
from convergence.simulator.anthropic.prices import OFFERS
from convergence.simulator.anthropic.requests import DayRequest, ReportRequest
from convergence.simulator.anthropic.world import AnthropicWorld
from convergence.simulator.days import elapsed_seconds
from convergence.simulator.traffic import Measures

Item = dict[str, Any]
Label = tuple[str | None, ...]

USAGE_GROUPS = (
    *("account_id", "api_key_id", "context_window", "inference_geo", "model", "service_account_id", "service_tier"),
    "workspace_id",
)
COST_GROUPS = ("workspace_id", "description")
_LINE = ("description", "cost_type", "model", "token_type", "service_tier", "context_window", "inference_geo")
_CENTS_PLACES = 2


class UsageReport:
    """The usage of the Messages API under one grouping and filter."""

    def __init__(self, world: AnthropicWorld, request: ReportRequest, now: datetime) -> None:
        self._world = world
        self._request = request
        self._now = now

    def results(self, day: date, start: int, end: int) -> list[Item]:
        """The rows between two seconds of a day, as far as it has come."""
        groups: dict[Label, Measures] = {}
        for row in self._world.rows_between(day, start, min(end, elapsed_seconds(day, self._now))):
            dimensions = self._dimensions(row.origin, row.variant)
            if not _is_wanted(dimensions, self._request):
                continue
            label = tuple(dimensions[name] if name in self._request.group_by else None for name in USAGE_GROUPS)
            held = groups.get(label)
            groups[label] = row.measures if held is None else tuple(map(add, held, row.measures))
        return [self._item(label, measures) for label, measures in groups.items()]

    def _dimensions(self, place: int, variant: int) -> dict[str, str | None]:
        origin, offer = self._world.origins[place], OFFERS[variant]
        return {
            "account_id": None,
            "api_key_id": origin.api_key_id,
            "context_window": offer.context,
            "inference_geo": offer.geo,
            "model": offer.model,
            "service_account_id": None,
            "service_tier": offer.tier,
            "workspace_id": origin.workspace_id,
        }

    def _item(self, label: Label, measures: Measures) -> Item:
        uncached, write_5m, write_1h, read, output, searches = measures
        return {
            "uncached_input_tokens": uncached,
            "cache_creation": {"ephemeral_1h_input_tokens": write_1h, "ephemeral_5m_input_tokens": write_5m},
            "cache_read_input_tokens": read,
            "output_tokens": output,
            "server_tool_use": {"web_search_requests": searches},
            **dict(zip(USAGE_GROUPS, label, strict=True)),
        }


class CostReport:
    """Reported cost under one grouping. Amounts are cents, as text."""

    def __init__(self, world: AnthropicWorld, request: ReportRequest, now: datetime) -> None:
        self._world = world
        self._request = request
        self._now = now

    def results(self, day: date, _start: int, _end: int) -> list[Item]:
        """The rows of a day as far as it has come."""
        groups: dict[Label, int] = {}
        for row in self._world.costs_until(day, self._now):
            label = self._label(row)
            groups[label] = groups.get(label, 0) + row.amount
        return [self._item(label, amount) for label, amount in groups.items() if amount]

    def _label(self, row: CostRow) -> Label:
        """Without description every word of the line is null."""
        grouped = self._request.group_by
        words = [getattr(row.line, name) if "description" in grouped else None for name in _LINE]
        return (row.workspace_id if "workspace_id" in grouped else None, *words)

    def _item(self, label: Label, amount: int) -> Item:
        cents = amount_text(amount, self._world.amount_places - _CENTS_PLACES)
        named = dict(zip(("workspace_id", *_LINE), label, strict=True))
        return {"amount": cents, "currency": "USD", **named}


def _is_wanted(dimensions: dict[str, str | None], request: ReportRequest) -> bool:
    return all(dimensions[name] in wanted for name, wanted in request.filters)


def report_body(request: ReportRequest, results: Callable[[date, int, int], Sequence[Item]]) -> bytes:
    """One page of buckets in rising order; an empty one is there with no results."""
    starts = range(request.next_start, request.end, request.width)
    shown = [_bucket(start, start + request.width, results) for start in starts[: request.limit]]
    more = len(starts) > request.limit
    cursor = request.cursor(starts[request.limit]) if more else None
    return msgspec.json.encode({"data": shown, "has_more": more, "next_page": cursor})


def _bucket(start: int, end: int, results: Callable[[date, int, int], Sequence[Item]]) -> Item:
    day = datetime.fromtimestamp(start, UTC).date()
    offset = start - int(midnight(day).timestamp())
    return {
        "starting_at": _written(start),
        "ending_at": _written(end),
        "results": results(day, offset, offset + end - start),
    }


def _written(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def claude_code_body(world: AnthropicWorld, request: DayRequest, now: datetime) -> bytes:
    """One page of a day's records."""
    found = world.claude_code_until(request.day, now)
    end = request.first + request.limit
    shown = list(_records(world, found[request.first : end], request.day))
    more = end < len(found)
    return msgspec.json.encode({"data": shown, "has_more": more, "next_page": request.cursor(end) if more else None})


def _records(world: AnthropicWorld, found: Iterable[Any], day: date) -> Iterator[Item]:
    for activity in found:
        yield record(activity, day, world.directory.organization_id)
