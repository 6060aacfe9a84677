"""What a number counts is declared, and becomes whole units in both ways of reading."""

from __future__ import annotations

from decimal import Decimal

import pytest

from convergence.connectors import FieldSpec, PageLayout, decode_page
from convergence.connectors.layout import AmountUnit


@pytest.mark.parametrize(
    ("unit", "written", "whole"),
    [
        ("whole", "1.5", "1.5"),
        ("cents", "150", "1.5"),
        ("cents", '"150.000000049"', "1.500000000"),
        ("cents", "-0.00000005", "-0.000000001"),
        ("micro", "1234567", "1.234567"),
        ("micro", '"0.0005"', "0.000000001"),
        ("millions", "0.0000000028", "0.0028"),
        ("millions", '"0.000002"', "2"),
    ],
)
@pytest.mark.parametrize("is_strict", [False, True])
def test_a_number_becomes_whole_units(unit: AmountUnit, written: str, whole: str, is_strict: bool) -> None:
    layout = PageLayout((FieldSpec("amount", type="NUMERIC", required=True, unit=unit),), rows=("data[]",))
    bad = ',{"amount":"many"}' if is_strict else ""
    found = decode_page(f'{{"data":[{{"amount":{written}}}{bad}]}}'.encode(), layout)
    assert found.rows["amount"].to_pylist() == [Decimal(whole)]
    assert len(found.rejects) == int(is_strict)
