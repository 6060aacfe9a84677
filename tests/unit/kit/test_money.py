"""Amounts are exact from raw text to nine places, and parts sum to the whole."""

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence.kit.money import allocate, format_amount, format_usd, is_exact, parse_amount

AMOUNTS = st.decimals(min_value=-(10**27), max_value=10**27, places=9)
WEIGHTS = st.lists(st.decimals(min_value=0, max_value=10**9, places=6), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0.06", "0.060000000"),
        ("2.25", "2.250000000"),
        ("1e-7", "0.000000100"),
        ("0.1234567894999", "0.123456789"),
        ("0.1234567895", "0.123456790"),
        ("-0.0000000005", "-0.000000001"),
        ("99999999999999999999999999999.123456789", "99999999999999999999999999999.123456789"),
    ],
)
def test_parse_amount_rounds_half_up_at_nine_places(text, amount):
    assert parse_amount(text) == Decimal(amount)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "", "12,5", "$3", "1e29", "0x10"])
def test_parse_amount_refuses_what_is_no_finite_amount(text):
    with pytest.raises(ValueError, match=r"not a (finite amount|number)"):
        parse_amount(text)


@given(AMOUNTS, WEIGHTS)
def test_parts_sum_to_the_whole_exactly(total, weights):
    with localcontext(prec=60):
        assert sum(allocate(total, weights)) == total


@given(AMOUNTS, WEIGHTS)
def test_no_part_is_further_than_one_unit_from_its_share(total, weights):
    whole = sum(weights)
    if not whole:
        return
    for part, weight in zip(allocate(total, weights), weights, strict=True):
        with localcontext(prec=80):
            assert abs(part - total * weight / whole) <= Decimal("2e-9")


def test_a_zero_weight_gets_nothing_unless_all_are_zero():
    assert allocate(Decimal(1), [Decimal(0), Decimal(5)]) == [Decimal(0), Decimal(1)]
    assert allocate(Decimal(1), [Decimal(0), Decimal(0)]) == [Decimal("0.5"), Decimal("0.5")]


def test_allocate_refuses_no_weights_and_negative_ones():
    with pytest.raises(ValueError, match="nothing"):
        allocate(Decimal(1), [])
    with pytest.raises(ValueError, match="negative"):
        allocate(Decimal(1), [Decimal(-1), Decimal(2)])


@pytest.mark.parametrize(
    ("amount", "text"), [("1E-7", "0.0000001"), ("1.500000000", "1.5"), ("0E-9", "0"), ("-3", "-3")]
)
def test_format_amount_has_no_exponent(amount, text):
    assert format_amount(Decimal(amount)) == text


@pytest.mark.parametrize(("amount", "text"), [("1234.565", "$1,234.57"), ("-0.005", "-$0.01"), ("0", "$0.00")])
def test_format_usd_rounds_for_display(amount, text):
    assert format_usd(Decimal(amount)) == text


def test_is_exact():
    assert is_exact(Decimal("0.123456789"))
    assert not is_exact(Decimal("0.1234567891"))
