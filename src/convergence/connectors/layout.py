"""What the rows of a page are: which lists they lie in, and the columns to take from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

FieldType = Literal["STRING", "INT64", "NUMERIC", "BOOL", "TIMESTAMP", "DATE"]
TimeFormat = Literal["unix_s", "unix_ms", "unix_ms_text", "rfc3339"]
AmountUnit = Literal["whole", "cents", "micro", "millions"]
DECIMALS: Final[dict[AmountUnit, int]] = {"whole": 0, "cents": 2, "micro": 6, "millions": -6}
"""How many places the point moves to the left to make a whole unit of the currency.

A price for one token, which nine places may not hold, counts millions when it is to be the price of a million.
"""


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One column. `source` is its dotted path inside the bucket or the result; empty means its own name.

    `type` is BigQuery's. NUMERIC takes a JSON number or a number in a string, exactly, rounded half up to nine places.
    `unit` is what its number counts: cents and micro become whole units before they are rounded. `time_format` is how a
    TIMESTAMP is written; a DATE is `YYYY-MM-DD`. A STRING `from_number` takes whole numbers too, for ids that are
    either. A missing member is NULL.
    """

    name: str
    source: str = ""
    type: FieldType = "STRING"
    required: bool = False
    non_negative: bool = False
    time_format: TimeFormat = "unix_s"
    unit: AmountUnit = "whole"
    from_number: bool = False

    @property
    def path(self) -> tuple[str, ...]:
        return tuple((self.source or self.name).split("."))


@dataclass(frozen=True, slots=True)
class PageLayout:
    """Rows are the items of the innermost list of `rows`: `("data[]", "results[]")` is results inside buckets.

    The outer list may lie inside objects: `("result.items[]",)`.

    With two lists, `bucket_fields` of the outer item are spread over its results; an outer item without results gives
    no row. With one list, only `result_fields` count. `envelope` names the top-level members to hand back;
    `expected` names members that are known and not taken, so that they are not reported as new.
    """

    result_fields: tuple[FieldSpec, ...]
    bucket_fields: tuple[FieldSpec, ...] = ()
    rows: tuple[str, ...] = ("data[]", "results[]")
    envelope: tuple[str, ...] = ("has_more", "next_page")
    expected: frozenset[str] = frozenset({"object"})

    def __post_init__(self) -> None:
        if len(self.rows) not in (1, 2) or not all(step.endswith("[]") and step != "[]" for step in self.rows):
            raise ValueError(f"rows names one or two lists, such as 'data[]', not {self.rows!r}")
        if len(self.rows) == 1 and self.bucket_fields:
            raise ValueError("bucket_fields need two lists")
        names = [spec.name for spec in self.fields]
        if len(set(names)) != len(names):
            raise ValueError(f"a column is named twice: {sorted(name for name in names if names.count(name) > 1)}")

    @property
    def lists(self) -> tuple[str, ...]:
        """Names of the lists, outermost first; the first may be a dotted path."""
        return tuple(step.removesuffix("[]") for step in self.rows)

    @property
    def outer_path(self) -> tuple[str, ...]:
        """Where the outer list lies in a page."""
        return tuple(self.lists[0].split("."))

    @property
    def fields(self) -> tuple[FieldSpec, ...]:
        """All columns, in the order of the rows: bucket first."""
        return self.bucket_fields + self.result_fields
