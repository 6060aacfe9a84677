"""What rows have in common, numbered: a decision is made once a kind instead of once a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

NO_VALUE = "\x00"  # joins do not match nulls, and no id of a provider looks like this
_BETWEEN = "\x1f"


def number_kinds(rows: pa.Table, columns: Sequence[str]) -> tuple[list[dict[str, Any]], pa.Array]:
    """The distinct values of the columns, and each row's place among them."""
    import pyarrow.compute as pc

    kinds = rows.group_by(list(columns)).aggregate([]).select(list(columns))
    places = pc.index_in(join_texts(rows, columns), value_set=flatten(join_texts(kinds, columns)))
    return kinds.to_pylist(), flatten(places)


def join_texts(rows: pa.Table, columns: Sequence[str]) -> pa.ChunkedArray:
    """One text a row that differs wherever a column does; null is a value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(*(fill_null(pc.cast(rows[name], pa.string())) for name in columns), _BETWEEN)


def fill_null(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    return pc.fill_null(texts, NO_VALUE)


def flatten(values: Any) -> Any:
    """One array of what may be chunks."""
    import pyarrow as pa

    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
