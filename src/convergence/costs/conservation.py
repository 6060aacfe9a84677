"""The proof that nothing was lost or doubled on the way from reported amounts and usage to the cost table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from convergence.errors import DataQualityError

if TYPE_CHECKING:
    import pyarrow as pa

Sums = Mapping[tuple[date, str | None], Decimal]
_UNITS = {"ByteDays": "Byte-Days"}  # the only unit that cannot name a column


def check_conservation(rows: pa.Table, reported: list[dict[str, Any]], used: list[dict[str, Any]]) -> None:
    """The billed cost of each day is what was reported, and its quantities are what was used.

    Raises:
        DataQualityError: conservation_broken, naming the first day and both sums.
    """
    billed = _sum(rows, ["usage_date", "currency"], "billed_cost")
    expected = {(row["usage_date"], row["currency"]): row["amount"] for row in reported}
    _compare("billed cost", billed, expected)
    quantities = _sum(rows, ["usage_date", "unit"], "quantity")
    wanted: dict[tuple[date, str | None], Decimal] = {
        (row["usage_date"], _UNITS.get(unit, unit)): amount
        for row in used
        for unit, amount in row.items()
        if unit != "usage_date"
    }
    _compare("quantity", quantities, wanted)


def _sum(rows: pa.Table, keys: list[str], column: str) -> dict[tuple[date, str | None], Decimal]:
    sums = rows.group_by(keys).aggregate([(column, "sum")]).to_pylist()
    return {(row[keys[0]], row[keys[1]]): row[f"{column}_sum"] for row in sums}


def _compare(what: str, found: Sums, expected: Sums) -> None:
    for day, unit in _keys(found, expected):
        one, other = found.get((day, unit), Decimal(0)), expected.get((day, unit), Decimal(0))
        if one != other:
            raise DataQualityError(
                f"{what} of {day} in {unit or 'no unit'} is {one} after allocation and {other} before it",
                code="conservation_broken",
                hint="Nothing was published; the old rows of the day stay. This is a fault of Convergence: report it.",
                fields={"day": day.isoformat(), "found": str(one), "expected": str(other)},
            )


def _keys(*sums: Sums) -> Iterator[tuple[date, str | None]]:
    yield from sorted({key for one in sums for key in one}, key=lambda key: (key[0], key[1] or ""))
