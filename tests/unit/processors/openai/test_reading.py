"""Pages of a window, with a client that answers from a script."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date

import msgspec
import pytest

from convergence.connectors import Page
from convergence.errors import ProviderMisbehaved, ProviderRejected
from convergence.kit.window import Window, midnight
from convergence.processors.openai._reports import COSTS_BY_KEY
from convergence.steps.reports import PAGE_BYTES, WindowSizes, read_report

DAY = date(2026, 11, 1)
WINDOW = Window.inclusive(DAY, date(2026, 11, 2))


def page(amount: object, *, start: int | None = None) -> Page:
    bucket = {
        "start_time": start or int(midnight(DAY).timestamp()),
        "results": [{"amount": {"value": amount, "currency": "usd"}, "line_item": "Text tokens"}],
    }
    return Page(1, 200, {}, msgspec.json.encode({"data": [bucket], "has_more": False, "next_page": None}), ())


class ScriptedClient:
    """Yields pages, or raises what stands in their place."""

    def __init__(self, *fetches: list[Page | Exception]) -> None:
        self._fetches = list(fetches)
        self.params: list[list[tuple[str, str]]] = []

    async def pages(self, _path: str, params: list[tuple[str, str]], *_: object, **__: object) -> AsyncIterator[Page]:
        self.params.append(params)
        for answer in self._fetches.pop(0):
            if isinstance(answer, Exception):
                raise answer
            yield answer


def amounts(reading: object) -> list[str]:
    return [str(value) for batch in reading.batches for value in batch["amount"].to_pylist()]  # type: ignore[attr-defined]


async def test_all_pages_of_a_window_are_read() -> None:
    reading = await read_report(ScriptedClient([page(1), page("2.25")]), COSTS_BY_KEY, WINDOW)  # type: ignore[arg-type]
    assert amounts(reading) == ["1.000000000", "2.250000000"]


async def test_a_window_is_asked_for_in_utc_midnights_with_a_bucket_a_day() -> None:
    client = ScriptedClient([page(1)])
    await read_report(client, COSTS_BY_KEY, WINDOW)  # type: ignore[arg-type]
    assert client.params == [
        [
            ("start_time", "1793491200"),
            ("end_time", "1793664000"),
            ("bucket_width", "1d"),
            ("limit", "2"),
            ("group_by", "project_id"),
            ("group_by", "api_key_id"),
            ("group_by", "line_item"),
        ]
    ]


async def test_a_cursor_that_stops_working_starts_the_window_again_from_its_first_page() -> None:
    expired = ProviderRejected("no such page", status=400)
    reading = await read_report(ScriptedClient([page(1), expired], [page(1), page(2)]), COSTS_BY_KEY, WINDOW)  # type: ignore[arg-type]
    assert amounts(reading) == ["1.000000000", "2.000000000"]


async def test_a_cursor_that_never_works_is_a_rejection() -> None:
    expired = ProviderRejected("no such page", status=400)
    with pytest.raises(ProviderRejected, match="no such page"):
        await read_report(ScriptedClient([page(1), expired], [page(1), expired]), COSTS_BY_KEY, WINDOW)  # type: ignore[arg-type]


async def test_a_bucket_that_starts_inside_a_day_is_refused() -> None:
    late = page(1, start=int(midnight(DAY).timestamp()) + 3600)
    with pytest.raises(ProviderMisbehaved) as caught:
        await read_report(ScriptedClient([late]), COSTS_BY_KEY, WINDOW)  # type: ignore[arg-type]
    assert caught.value.code == "partial_bucket"


def test_windows_start_with_the_newest_day_and_grow() -> None:
    sizes = WindowSizes(31)
    found = []
    for window in sizes.cut(Window(date(2026, 1, 1), date(2026, 3, 1))):
        found.append(len(window))
        sizes.grow(window, 1_000 * len(window))
    assert found == [1, 31, 27]


def test_windows_stay_small_where_days_are_large() -> None:
    sizes = WindowSizes(31)
    found = []
    for window in sizes.cut(Window(date(2026, 1, 1), date(2026, 1, 8))):
        found.append(len(window))
        sizes.grow(window, PAGE_BYTES * 3 // 8 * len(window))
    assert found == [1, 2, 2, 2]


def test_a_refused_window_is_cut_again_without_losing_a_day() -> None:
    sizes = WindowSizes(31)
    found = []
    for window in sizes.cut(Window(date(2026, 1, 1), date(2026, 1, 6))):
        if len(window) > 2:
            assert sizes.shrink(window)
            continue
        found.append(window)
        if len(found) > 1:
            break
        sizes.grow(window, 1)
    assert [str(window) for window in found] == ["[2026-01-05, 2026-01-06)", "[2026-01-03, 2026-01-05)"]
