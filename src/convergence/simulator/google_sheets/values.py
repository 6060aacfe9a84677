"""Cells of a range as the API shows them: what is empty at the end of a line or of the tab is left out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Any

from convergence.simulator.google_sheets.refusals import bad_range, bad_value
from convergence.simulator.google_sheets.world import Tab

_RANGE = re.compile(r"(?:'((?:[^']|'')+)'|([^'!]+))(?:!([A-Z]+)(\d*)(?::([A-Z]+)(\d*))?)?")
_EPOCH = date(1899, 12, 30)
_RENDERED = ("FORMATTED_VALUE", "UNFORMATTED_VALUE", "FORMULA")
_DATED = ("SERIAL_NUMBER", "FORMATTED_STRING")


def value_range(tabs: Sequence[Tab], text: str, *, rendered: str, dated: str, dimension: str) -> dict[str, Any]:
    """A ValueRange. An empty one has no `values`.

    Raises:
        Refusal: no such tab, or an unknown option.
    """
    for name, value, known in (
        ("value_render_option", rendered, _RENDERED),
        ("date_time_render_option", dated, _DATED),
        ("major_dimension", dimension, ("ROWS", "COLUMNS")),
    ):
        if value not in known:
            raise bad_value(name, value)
    found = _RANGE.fullmatch(text)
    title = (found[1].replace("''", "'") if found[1] else found[2]) if found else None
    tab = next((tab for tab in tabs if tab.title == title), None)
    if found is None or tab is None:
        raise bad_range(text)
    lines = [[_render(cell, rendered, dated) for cell in line] for line in _cut(tab.cells, found)]
    if dimension == "COLUMNS":
        width = max(map(len, lines), default=0)
        lines = [[line[place] if place < len(line) else "" for line in lines] for place in range(width)]
    values = _trim([_trim_line(line) for line in lines])
    answer: dict[str, Any] = {"range": f"'{tab.title}'!A1:Z1000", "majorDimension": dimension}
    return answer | {"values": values} if values else answer


def _cut(cells: list[list[Any]], found: re.Match[str]) -> list[list[Any]]:
    if found[3] is None:
        return cells
    left, top = _column(found[3]), int(found[4] or 1) - 1
    right = _column(found[5] or found[3]) + 1
    bottom = int(found[6]) if found[6] else (len(cells) if found[5] else top + 1)
    return [line[left:right] for line in cells[top:bottom]]


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


def _render(cell: Any, rendered: str, dated: str) -> Any:
    if cell is None:
        return ""
    if rendered == "FORMATTED_VALUE":
        return _format(cell)
    if isinstance(cell, date):
        return (cell - _EPOCH).days if dated == "SERIAL_NUMBER" else _format(cell)
    return cell


def _format(cell: Any) -> str:
    """As a sheet of the United States shows it."""
    match cell:
        case bool():
            return str(cell).upper()
        case date():
            return f"{cell.month}/{cell.day}/{cell.year}"
        case int() | float():
            return f"{cell:,}"
        case _:
            return str(cell)


def _trim_line(line: list[Any]) -> list[Any]:
    while line and line[-1] == "":
        line = line[:-1]
    return line


def _trim(lines: list[list[Any]]) -> list[list[Any]]:
    while lines and not lines[-1]:
        lines = lines[:-1]
    return lines
