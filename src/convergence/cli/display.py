"""Tables, bars and JSON on the terminal. Amounts are rounded here and nowhere before."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from convergence.kit.money import format_usd

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_BAR_WIDTH = 40
_PIPE_WIDTH = 160
_NUMBER = re.compile(r"-|-?[$]?[0-9][0-9,]*([.][0-9]+)?")


def open_console() -> Console:
    """As wide as the terminal; wide enough for everything where there is none."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def print_json(value: Any) -> None:
    """Print a value as JSON; amounts stay the strings they are."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def build_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table; columns of numbers lean right, and what is too wide is folded, never cut."""
    from rich import box
    from rich.table import Table

    cells = [["-" if cell is None else str(cell) for cell in row] for row in rows]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        is_numeric = all(_NUMBER.fullmatch(row[place]) for row in cells)
        table.add_column(column, justify="right" if is_numeric else "left", overflow="fold")
    for row in cells:
        table.add_row(*row)
    return table


def build_cost_table(keys: Sequence[str], report: Mapping[str, Any], *, limit: int | None = None) -> Table:
    """Rows of GET /costs with a total line; a null key is shown as unattributed."""
    rows = list(report["rows"])
    shown = rows if limit is None else rows[:limit]
    table = build_table(
        [*keys, "billed cost", "list cost"],
        [[_key(row.get(key)) for key in keys] + _amounts(row) for row in shown],
    )
    if len(rows) > len(shown):
        table.add_row(*[f"... {len(rows) - len(shown)} more", *[""] * (len(keys) + 1)], style="dim")
    table.add_section()
    table.add_row(*["total", *[""] * (len(keys) - 1), *_amounts(report["total"])][-len(table.columns) :], style="bold")
    return table


def build_bars(days: Sequence[tuple[str, Decimal]]) -> list[str]:
    """One line a day with a bar in proportion to its amount."""
    highest = max((amount for _, amount in days), default=Decimal(0))
    lines = []
    for day, amount in days:
        share = amount / highest if highest > 0 and amount > 0 else Decimal(0)
        eighths = int((share * _BAR_WIDTH * 8).to_integral_value())
        bar = "█" * (eighths // 8) + ("▏▎▍▌▋▊▉"[eighths % 8 - 1] if eighths % 8 else "")
        lines.append(f"{day}  {format_usd(amount):>12}  {bar}")
    return lines


def _amounts(row: Mapping[str, Any]) -> list[str]:
    return [
        format_usd(Decimal(row[name])) if row.get(name) is not None else "-" for name in ("billed_cost", "list_cost")
    ]


def _key(value: object) -> object:
    return "(unattributed)" if value is None else value
