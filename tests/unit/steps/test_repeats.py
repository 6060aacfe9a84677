"""Rows that come twice: once where they agree, refused where they do not."""

from datetime import date
from decimal import Decimal

import pyarrow as pa
import pytest

from convergence.errors import ProviderMisbehaved
from convergence.steps.reports import collapse_repeats

DAY = date(2026, 11, 1)
SCHEMA = pa.schema([("usage_date", pa.date32()), ("project_id", pa.string()), ("amount", pa.decimal128(38, 9))])


def _table(*rows):
    names = SCHEMA.names
    return pa.Table.from_pylist([dict(zip(names, (DAY, *row), strict=True)) for row in rows], schema=SCHEMA)


def test_rows_that_agree_count_once_and_the_others_stay():
    rows = _table(("a", Decimal(1)), (None, Decimal(2)), ("a", Decimal(1)), (None, Decimal(2)))
    found = collapse_repeats(rows, ("usage_date", "project_id"), "rows")
    assert sorted(found["amount"].to_pylist()) == [Decimal(1), Decimal(2)]
    assert found.schema == SCHEMA


def test_rows_that_differ_in_a_figure_are_refused_with_their_day():
    with pytest.raises(ProviderMisbehaved, match="2026-11-01") as refused:
        collapse_repeats(_table(("a", Decimal(1)), ("a", Decimal(2))), ("usage_date", "project_id"), "rows")
    assert refused.value.code == "duplicate_rows"


def test_without_repeats_the_same_table_comes_back():
    rows = _table(("a", Decimal(1)), ("b", Decimal(1)))
    assert collapse_repeats(rows, ("usage_date", "project_id"), "rows") is rows
