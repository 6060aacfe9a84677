"""What a load may ask for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

from convergence.catalog.schemas import TableSchema
from convergence.errors import SchemaMismatch
from convergence.kit.window import Window
from convergence.warehouse.protocol import Claim, WriteMode

WHOLE_TABLE: Final = date(1, 1, 1)  # the scope's day of a load that has no window


def check_request(
    definition: TableSchema, mode: WriteMode, *, keys: Sequence[str], window: Window | None, claim: Claim | None
) -> None:
    """Refuse what a mode cannot mean, before a row is read.

    Raises:
        SchemaMismatch: keys or a window are missing, or name no column of the table.
    """
    faults = []
    if mode is WriteMode.MERGE and not keys:
        faults.append("merge needs keys")
    if mode is WriteMode.REPLACE_WINDOW and window is None:
        faults.append("replace_window needs a window")
    if mode is WriteMode.REPLACE_WINDOW and definition.partition_column is None:
        faults.append("replace_window needs a partition column")
    named = [*keys, *_named(claim)]
    faults += [f"no column {name}" for name in named if definition.column(name) is None]
    if faults:
        raise SchemaMismatch(
            f"table {definition.name}: {'; '.join(faults)}", hint="Correct the load's mode, keys or window."
        )


def _named(claim: Claim | None) -> list[str]:
    if claim is None:
        return []
    return [name for name in (claim.amount_column, claim.part and claim.part[0]) if name]
