"""A GoogleSQL statement with what it needs to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from convergence.tenancy import DatasetRef, TableRef

Scalar = str | int | bool | Decimal | date | datetime | bytes | None
Parameter = Scalar | Sequence[Scalar]


@dataclass(frozen=True, slots=True)
class Statement:
    """GoogleSQL text; bare table names lie in `dataset`; values are named parameters (`@start_date`).

    `tables` maps a name used in the text to a table of another dataset: only platform code, which holds both scopes,
    can fill it. There is no way to put a value or a table name into the text itself.
    """

    sql: str
    dataset: DatasetRef
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    tables: Mapping[str, TableRef] = field(default_factory=dict)
