"""What a table may become: columns and fields are added, never changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from convergence.catalog.schemas import Column, TableSchema
from convergence.errors import SchemaMismatch
from convergence.tenancy import TableRef
from convergence.warehouse.arrow import canonical_type


def refuse_changes(table: TableRef, present: TableSchema, wanted: TableSchema) -> None:
    """Let through what only adds.

    Raises:
        SchemaMismatch: every column that would change its type or mode, and every new REQUIRED one.
    """
    faults = list(_faults(present.columns, wanted.columns, ""))
    faults += [_required_fault(column) for column in wanted.columns if _is_new_and_required(column, present)]
    if faults:
        raise SchemaMismatch(
            f"table {table}: {'; '.join(faults)}",
            hint="A type change needs a new table: give it a new name and load it from the source.",
        )


def merge_schemas(present: TableSchema, wanted: TableSchema) -> TableSchema:
    """What the table is then: its own columns in their order, then the added ones; the newest description."""
    return replace(wanted, columns=_merged(present.columns, wanted.columns))


def added_paths(present: tuple[Column, ...], wanted: tuple[Column, ...], prefix: str = "") -> Iterator[str]:
    """Dotted names of the columns and fields that are wanted and not present."""
    old = {column.name: column for column in present}
    for column in wanted:
        path = f"{prefix}{column.name}"
        if column.name in old:
            yield from added_paths(old[column.name].fields, column.fields, f"{path}.")
        else:
            yield path


def _is_new_and_required(column: Column, present: TableSchema) -> bool:
    return column.mode == "REQUIRED" and present.column(column.name) is None


def _required_fault(column: Column) -> str:
    return f"column {column.name} is new and REQUIRED, which the rows that are there cannot satisfy"


def _faults(present: tuple[Column, ...], wanted: tuple[Column, ...], prefix: str) -> Iterator[str]:
    new = {column.name: column for column in wanted}
    for old in present:
        column = new.get(old.name)
        if column is None:
            continue
        name = f"{prefix}{old.name}"
        if canonical_type(column.type) != canonical_type(old.type):
            yield f"column {name} is {old.type} and cannot become {column.type}"
        elif column.mode != old.mode:
            yield f"column {name} is {old.mode} and cannot become {column.mode}"
        else:
            yield from _faults(old.fields, column.fields, f"{name}.")


def _merged(present: tuple[Column, ...], wanted: tuple[Column, ...]) -> tuple[Column, ...]:
    new = {column.name: column for column in wanted}
    kept = tuple(_merged_column(old, new.get(old.name)) for old in present)
    known = {column.name for column in present}
    return kept + tuple(column for column in wanted if column.name not in known)


def _merged_column(old: Column, new: Column | None) -> Column:
    if new is None:
        return old
    return Column(old.name, old.type, old.mode, new.description, _merged(old.fields, new.fields))
