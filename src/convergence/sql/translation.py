"""GoogleSQL in, DuckDB out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache, partial
from secrets import token_hex
from typing import Final

from sqlglot import exp, parse
from sqlglot.errors import SqlglotError

from convergence.errors import StatementFailed
from convergence.sql.dialect import rewrite
from convergence.sql.names import resolve_tables
from convergence.sql.statement import Statement
from convergence.tenancy import DatasetRef, TableRef

Named = tuple[tuple[str, TableRef], ...]
_ANY: Final = DatasetRef(f"dataset_{token_hex(16)}")  # another in every process: no statement can name it


class Kind(Enum):
    """What a statement does."""

    SELECT = "select"
    DML = "dml"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Translation:
    """Text for an engine, what it does, the tables it names, and the names of its parameters."""

    text: str
    kind: Kind
    tables: frozenset[TableRef]
    parameters: frozenset[str]


def translate(statement: Statement) -> Translation:
    """The statement for DuckDB, with every table written out in full.

    Raises:
        StatementFailed: it does not parse, is not one statement, or names a table of another dataset.
    """
    return translate_once(statement, partial(_translate, statement.sql))


def translate_once(statement: Statement, translate_for: Callable[[DatasetRef, Named], Translation]) -> Translation:
    """What `translate_for`, which remembers, makes of it: once for all datasets where the text spells out none.

    Parsing takes tens of milliseconds, and the same hundred statements run for every organization.

    Raises:
        StatementFailed: as `translate_for` does.
    """
    dataset, tables = statement.dataset, tuple(sorted(statement.tables.items(), key=_first))
    if dataset.name not in statement.sql:
        with suppress(StatementFailed):  # said below, with the dataset's name
            made = translate_for(_ANY, tables)
            found = (TableRef(dataset, table.name) if table.dataset == _ANY else table for table in made.tables)
            return replace(made, text=made.text.replace(_ANY.name, dataset.name), tables=frozenset(found))
    return translate_for(dataset, tables)


def parse_one_statement(sql: str) -> exp.Expr:
    """The tree of one GoogleSQL statement.

    Raises:
        StatementFailed: a syntax error, nothing at all, or more than one statement.
    """
    try:
        trees = [
            tree for tree in parse(sql, read="bigquery") if tree is not None and not isinstance(tree, exp.Semicolon)
        ]
    except SqlglotError as error:
        raise StatementFailed(f"syntax error: {_reason(error)}", hint="Write GoogleSQL.") from error
    except RecursionError as error:
        raise StatementFailed("the statement is nested too deeply", hint="Write it in fewer levels.") from error
    if len(trees) != 1:
        raise StatementFailed(f"expected one statement, got {len(trees)}", hint="Send one statement at a time.")
    return trees[0]


def kind_of(tree: exp.Expr) -> Kind:
    """Whether the tree reads, writes rows, or does something else."""
    match tree:
        case exp.Query():
            return Kind.SELECT
        case exp.Insert() | exp.Update() | exp.Delete() | exp.Merge():
            return Kind.DML
        case _:
            return Kind.OTHER


@lru_cache(maxsize=1024)
def _translate(sql: str, dataset: DatasetRef, tables: Named) -> Translation:
    tree = parse_one_statement(sql)
    kind = kind_of(tree)
    _refuse_time_travel(tree)
    found = resolve_tables(tree, dataset, dict(tables))
    parameters = frozenset(node.name for node in tree.find_all(exp.Parameter))
    text = _generate(rewrite(tree, dataset))
    return Translation(text, kind, found, parameters)


def _generate(tree: exp.Expr) -> str:
    try:
        return tree.sql(dialect="duckdb", normalize_functions=False)
    except (SqlglotError, RecursionError) as error:
        raise StatementFailed(f"cannot be written for DuckDB: {error}") from error


def _refuse_time_travel(tree: exp.Expr) -> None:
    if any(table.args.get("version") for table in tree.find_all(exp.Table)):
        raise StatementFailed("FOR SYSTEM_TIME AS OF is not available on DuckDB", hint="Query the table as it is now.")


def _reason(error: SqlglotError) -> str:
    details = getattr(error, "errors", None)
    if not details:
        return str(error).splitlines()[0]
    first: Mapping[str, object] = details[0]
    return f"{first.get('description')} at line {first.get('line')}, column {first.get('col')}"


def _first(item: tuple[str, TableRef]) -> str:
    return item[0]
