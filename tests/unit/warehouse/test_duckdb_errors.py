from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from convergence.errors import ConvergenceError, StatementFailed, WarehouseBusy
from convergence.warehouse.duckdb.errors import is_conflict, translate_error


def family(kind: type[duckdb.Error]) -> Iterator[type[duckdb.Error]]:
    yield kind
    for child in kind.__subclasses__():
        yield from family(child)


def exported() -> set[type[duckdb.Error]]:
    return {kind for kind in vars(duckdb).values() if isinstance(kind, type) and issubclass(kind, duckdb.Error)}


@pytest.mark.parametrize("kind", sorted({*family(duckdb.Error), *exported()}, key=lambda kind: kind.__name__))
def test_every_error_is_translated(kind: type[duckdb.Error]) -> None:
    translated = translate_error(kind("the reason"))

    assert isinstance(translated, ConvergenceError)
    assert translated.message == "the reason"


TRANSIENT = ["TransactionException", "ResourceInUseException", "IOException", "OutOfMemoryException"]
TERMINAL = ["BinderException", "CatalogException", "ConversionException", "ParserException", "ConstraintException"]


@pytest.mark.parametrize("name", TRANSIENT)
def test_what_may_work_later(name: str) -> None:
    assert isinstance(translate_error(getattr(duckdb, name)("x")), WarehouseBusy)


@pytest.mark.parametrize("name", [*TERMINAL, "Error"])
def test_what_never_will(name: str) -> None:
    assert isinstance(translate_error(getattr(duckdb, name)("x")), StatementFailed)


MESSAGES = [
    ('IO Error: Cannot open file "/home/me/secret place/acme.duckdb"', "IO Error: Cannot open file acme.duckdb"),
    ("Binder Error: no column x\n\nLINE 1: SELECT x FROM t\n               ^", "Binder Error: no column x"),
    ("No files found that match the pattern /etc/passwd", "No files found that match the pattern passwd"),
    ("12 / 3 is no path", "12 / 3 is no path"),
]


@pytest.mark.parametrize(("text", "shown"), MESSAGES)
def test_folders_and_quoted_statements_are_cut(text: str, shown: str) -> None:
    assert translate_error(duckdb.IOException(text)).message == shown


CONFLICTS = [
    (duckdb.TransactionException("Conflict on update!"), True),
    (duckdb.ConstraintException("Duplicate key"), True),
    (duckdb.TransactionException("Failed to commit: No space left on device"), False),
    (duckdb.BinderException("x"), False),
    (ValueError("x"), False),
]


@pytest.mark.parametrize(("error", "expected"), CONFLICTS, ids=[repr(error) for error, _expected in CONFLICTS])
def test_conflicts_are_worth_another_attempt(error: Exception, expected: bool) -> None:
    assert is_conflict(error) is expected
