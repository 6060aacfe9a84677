"""Whether the two files of an export tell the same: price x amount of a day and model is its cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import date
from decimal import Decimal
from typing import Any

from convergence.kit.money import QUANTUM
from convergence.kit.window import Window
from convergence.processors.deepseek._overlaps import Slot
from convergence.sql import Statement
from convergence.steps import StepContext
from convergence.steps.loading import ensure_tables

_MILLION = Decimal(10**6)
_BY_PRICE = """
SELECT user_id, model, export_date, offset_minutes, price_per_million, SUM(amount) AS amount, COUNT(*) AS n
FROM deepseek_usage_daily_raw
WHERE usage_date >= @start_date AND usage_date < @end_date
GROUP BY user_id, model, export_date, offset_minutes, price_per_million
"""
_BY_DAY = """
SELECT user_id, model, export_date, offset_minutes, SUM(amount) AS amount, COUNT(*) AS n
FROM deepseek_reported_cost_daily_raw
WHERE usage_date >= @start_date AND usage_date < @end_date
GROUP BY user_id, model, export_date, offset_minutes
"""


async def find_unexplained(context: StepContext, window: Window, slots: Collection[Slot]) -> list[str]:
    """`day model` of the slots that both files tell of and whose sums differ by more than rounding, in their order."""
    priced: defaultdict[Slot, Decimal] = defaultdict(Decimal)
    for row in await _read(context, "deepseek_usage_daily_raw", _BY_PRICE, window):
        priced[_slot(row)] += (row["price_per_million"] or 0) * row["amount"] / _MILLION
    reported = {
        _slot(row): (row["amount"], row["n"])
        for row in await _read(context, "deepseek_reported_cost_daily_raw", _BY_DAY, window)
    }
    both = [slot for slot in sorted(slots) if slot in priced and slot in reported]
    return [_name(slot.export_date, slot.model) for slot in both if not _is_equal(priced[slot], *reported[slot])]


def _is_equal(priced: Decimal, cost: Decimal, rows: int) -> bool:
    """Each reported row was rounded to nine places."""
    return abs(priced - cost) <= QUANTUM * rows / 2


async def _read(context: StepContext, table: str, sql: str, window: Window) -> list[dict[str, Any]]:
    await ensure_tables(context, table)
    days = {"start_date": window.start, "end_date": window.end}
    found: list[dict[str, Any]] = (
        await context.warehouse.query(Statement(sql, context.tenant.dataset, days))
    ).to_pylist()
    return found


def _slot(row: dict[str, Any]) -> Slot:
    return Slot(row["user_id"], row["model"], row["export_date"], row["offset_minutes"])


def _name(day: date, model: str) -> str:
    return f"{day} {model}"
