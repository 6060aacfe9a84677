"""What each exception of DuckDB means to us: one table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import duckdb

from convergence.errors import ConvergenceError, StatementFailed, WarehouseBusy

_DISK: Final = "Check the disk: free space and permissions."
_RESTORE: Final = "Restore the dataset from its last backup and load the days since again."

# The most specific class wins; duckdb.Error itself is what DuckDB raises for a corrupt file.
_TABLE: Final[dict[type[Exception], tuple[type[ConvergenceError], str | None]]] = {
    duckdb.Error: (StatementFailed, _RESTORE),
    duckdb.TransactionException: (WarehouseBusy, "Try again."),
    duckdb.ResourceInUseException: (WarehouseBusy, "Try again."),
    duckdb.IOException: (WarehouseBusy, _DISK),
    duckdb.OutOfMemoryException: (WarehouseBusy, "Read fewer rows, or raise the memory limit."),
    duckdb.InterruptException: (StatementFailed, "Read fewer rows or fewer days."),
    duckdb.FatalException: (StatementFailed, f"Restart. {_RESTORE}"),
    duckdb.InternalException: (StatementFailed, "This is a defect of the engine: report it with the statement."),
    duckdb.DatabaseError: (StatementFailed, None),
}
_QUOTED_PATH: Final = re.compile(r'"/[^"]*?([^/"]+)"')
_PATH: Final = re.compile(r"(?<![\w/])/[^\s\":/]+(?:/[^\s\":/]+)*/([^\s\":/]+)")


def translate_error(error: duckdb.Error) -> ConvergenceError:
    """Our error for DuckDB's; paths of the machine are cut to the file's name."""
    kind, hint = next(_TABLE[base] for base in type(error).__mro__ if base in _TABLE)
    if kind is WarehouseBusy and _is_unwritten(error):
        hint = _DISK
    return kind(shorten(str(error)), hint=hint)


@contextmanager
def translated() -> Iterator[None]:
    """Let no exception of DuckDB pass."""
    try:
        yield
    except duckdb.Error as error:
        raise translate_error(error) from error


def is_conflict(error: BaseException) -> bool:
    """Whether another transaction was faster: the same transaction may succeed if it is run again."""
    if isinstance(error, duckdb.TransactionException):
        return not _is_unwritten(error)
    return isinstance(error, duckdb.ConstraintException)


def _is_unwritten(error: BaseException) -> bool:
    """A commit that the disk refused; DuckDB raises what it raises for a conflict."""
    return any(text in str(error) for text in ("No space left", "Could not write"))


def shorten(text: str) -> str:
    """DuckDB's text without the quoted statement and without folders of this machine."""
    body = text.split("\n\nLINE ", maxsplit=1)[0].strip()
    return _PATH.sub(r"\1", _QUOTED_PATH.sub(r"\1", body))
