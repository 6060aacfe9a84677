"""Parts of an export, and two tables that hold the same money."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pytest

from convergence.errors import StepFailed
from convergence.kit.window import Window
from convergence.processors.gcp import _export
from convergence.processors.gcp._billing_rows import BillingRows
from convergence.warehouse.bigquery.exports import ExportTable


def part(table: str, *accounts: str) -> tuple[ExportTable, BillingRows]:
    described = ExportTable("p", "d", table, "US", (), "_PARTITIONTIME")
    return described, BillingRows(pa.table({"billing_account_id": pa.array(accounts)}))


def test_two_tables_of_one_account_under_any_names_are_refused() -> None:
    with pytest.raises(StepFailed, match="both hold billing account A") as caught:
        _export.check_accounts([part("mine", "A", "B"), part("theirs", "A")])

    assert caught.value.code == "export_twice"


def test_two_accounts_in_two_tables_are_taken() -> None:
    _export.check_accounts([part("mine", "A", "A"), part("theirs", "B")])


@pytest.mark.parametrize(
    ("sizes", "days"),
    [
        ({}, [4]),
        ({1: 60_000, 2: 40_000, 3: 1}, [2, 2]),
        ({1: 500_000, 2: 1}, [1, 3]),
        ({4: 500_000}, [3, 1]),
    ],
)
def test_partitions_are_read_together_while_they_are_small(sizes: dict[int, int], days: list[int]) -> None:
    whole = Window(date(2026, 11, 1), date(2026, 11, 5))

    windows = list(_export.cut_window(whole, {date(2026, 11, day): rows for day, rows in sizes.items()}))

    assert [len(window) for window in windows] == days
    assert (windows[0].start, windows[-1].end) == (whole.start, whole.end)
