"""Whatever Cursor charges and whatever is used, the split loses and doubles nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given
from hypothesis import strategies as st

from convergence.processors.cursor._splitting import GROUP, split

AMOUNT = pa.decimal128(38, 9)
CLASSES = ("input", "cached_input", "cache_write", "output")
_TYPES = {"usage_date": pa.date32(), "is_chargeable": pa.bool_(), "max_mode": pa.bool_()}
_GROUP = [(name, _TYPES.get(name, pa.string())) for name in GROUP]
ITEM = pa.schema(
    [*_GROUP, ("currency", pa.string()), ("amount", AMOUNT), ("listed", AMOUNT), ("is_stated", pa.bool_())]
)
USAGE = pa.schema(
    [
        *_GROUP,
        *((name, pa.string()) for name in ("token_class", "unit", "price_version")),
        *((name, AMOUNT) for name in ("quantity", "list_cost")),
    ]
)

money = st.decimals(min_value=-1_000, max_value=1_000_000, places=9)
weights = st.decimals(min_value=0, max_value=1_000_000, places=9)
groups = st.lists(
    st.tuples(money, st.none() | money, st.lists(weights, max_size=4), st.booleans()), min_size=1, max_size=12
)


@given(groups)
def test_charges_values_and_quantities_are_conserved(drawn: list[Any]) -> None:
    items, usage = [], []
    for place, (amount, listed, classes, is_chargeable) in enumerate(drawn):
        group = {"model": f"model-{place}", "is_chargeable": is_chargeable, "counted_in": "tokens"}
        items.append({**group, "currency": "USD", "amount": amount, "listed": listed, "is_stated": True})
        usage += [
            {
                **group,
                "token_class": name,
                "unit": "Tokens",
                "quantity": weight,
                "list_cost": weight,
                "price_version": "",
            }
            for name, weight in zip(CLASSES, classes, strict=False)
        ]
    rows = split(pa.Table.from_pylist(items, ITEM), pa.Table.from_pylist(usage, USAGE))
    billed, listed, quantity = (_total(rows, name) for name in ("billed_cost", "list_cost", "quantity"))
    assert billed == sum(item["amount"] for item in items)
    assert listed == sum(item["listed"] or 0 for item in items)
    assert quantity == sum(row["quantity"] for row in usage)


def _total(rows: pa.Table, name: str) -> Decimal:
    found: Decimal | None = pc.sum(rows[name]).as_py()
    return found or Decimal(0)
