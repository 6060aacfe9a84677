"""Shares sum to what is split, whatever the amounts, the weights and the sizes of the groups."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence.costs.allocation import allocate_groups, multiply
from convergence.kit.money import QUANTUM, allocate, quantize

AMOUNT = pa.decimal128(38, 9)
amounts = st.integers(-(10**18), 10**18).map(lambda nanos: nanos * QUANTUM)
weights = st.one_of(st.just(Decimal(0)), st.integers(0, 10**15).map(lambda nanos: nanos * QUANTUM))


@st.composite
def splits(draw: st.DrawFn) -> tuple[list[Decimal], list[int], list[Decimal]]:
    totals = draw(st.lists(amounts, min_size=1, max_size=5))
    rows = draw(st.lists(st.tuples(st.integers(0, len(totals) - 1), weights), max_size=40))
    return totals, [group for group, _ in rows], [weight for _, weight in rows]


def shares(totals: list[Decimal], groups: list[int], row_weights: list[Decimal]) -> list[Decimal]:
    return allocate_groups(
        pa.array(totals, AMOUNT), pa.array(groups, pa.int64()), pa.array(row_weights, AMOUNT)
    ).to_pylist()


@given(splits())
@settings(deadline=None)
def test_every_group_sums_to_its_total(split: tuple[list[Decimal], list[int], list[Decimal]]) -> None:
    totals, groups, _ = split
    sums: defaultdict[int, Decimal] = defaultdict(Decimal)
    for group, share in zip(groups, shares(*split), strict=True):
        sums[group] += share
    assert dict(sums) == {group: totals[group] for group in set(groups)}


@given(splits())
@settings(deadline=None)
def test_it_is_what_one_amount_at_a_time_would_give(split: tuple[list[Decimal], list[int], list[Decimal]]) -> None:
    totals, groups, row_weights = split
    expected: dict[int, list[Decimal]] = {}
    for group in set(groups):
        own = [weight for row, weight in zip(groups, row_weights, strict=True) if row == group]
        expected[group] = allocate(totals[group], own)
    got: defaultdict[int, list[Decimal]] = defaultdict(list)
    for group, share in zip(groups, shares(*split), strict=True):
        got[group].append(share)
    assert dict(got) == expected


@given(
    st.integers(0, 10**13).map(Decimal),
    st.integers(0, 10**12).map(lambda nanos: nanos * QUANTUM),
    st.sampled_from([1, 60, 1000, 1_000_000]),
)
@settings(deadline=None)
def test_quantity_times_price_rounds_once(quantity: Decimal, price: Decimal, per: int) -> None:
    got = multiply(pa.array([quantity], AMOUNT), pa.array([price], AMOUNT), pa.array([per], pa.int64()))
    exact = Decimal(quantity * int(price / QUANTUM)) / per
    assert got.to_pylist() == [quantize(exact * QUANTUM)]
