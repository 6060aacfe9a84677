"""GoogleSQL for BigQuery: the statement as it was written, with its tables' full names put in."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.tokenizer_core import TokenType

from convergence.sql.names import find_tables, is_cte, written_name
from convergence.sql.statement import Statement
from convergence.sql.translation import Named, Translation, kind_of, parse_one_statement, translate_once
from convergence.tenancy import DatasetRef, TableRef


@dataclass(frozen=True, slots=True)
class _Edit:
    """A stretch of the text, both ends inside, and what stands there instead."""

    start: int
    end: int
    text: str


def resolve(statement: Statement, project: str) -> Translation:
    """The statement for BigQuery. A parameter that is None becomes the word NULL, which fits any type.

    Raises:
        StatementFailed: it does not parse, is not one statement, or names a table of another dataset.
    """
    nulls = frozenset(name for name, value in statement.parameters.items() if value is None)
    return translate_once(statement, partial(_resolve, statement.sql, nulls, project))


def full_name(project: str, table: TableRef) -> str:
    return f"`{project}.{table.dataset.name}.{table.name}`"


def view_tables(query: str) -> frozenset[str]:
    """Full names, `project.dataset.table`, of what a view made by us reads."""
    found = parse_one_statement(query).find_all(exp.Table)
    return frozenset(written_name(node) for node in found if not is_cte(node) and node.catalog)


@lru_cache(maxsize=1024)
def _resolve(sql: str, nulls: frozenset[str], project: str, dataset: DatasetRef, tables: Named) -> Translation:
    tree = parse_one_statement(sql)
    found = find_tables(tree, dataset, dict(tables))
    edits = [_name_edit(node, table, project) for node, table in found] + list(_null_edits(sql, nulls))
    parameters = frozenset(node.name for node in tree.find_all(exp.Parameter))
    return Translation(_edited(sql, edits), kind_of(tree), frozenset(table for _node, table in found), parameters)


def _name_edit(node: exp.Table, table: TableRef, project: str) -> _Edit:
    places = [part.meta for part in node.parts]
    alias = f" AS `{node.name}`" if table.name != node.name and not node.alias and _takes_alias(node) else ""
    start, end = min(place["start"] for place in places), max(place["end"] for place in places)
    return _Edit(start, end, full_name(project, table) + alias)


def _takes_alias(node: exp.Table) -> bool:
    return not isinstance(node.parent, exp.Insert | exp.Schema)


def _null_edits(sql: str, nulls: frozenset[str]) -> Iterator[_Edit]:
    if not nulls:
        return
    tokens = BigQuery().tokenize(sql)
    for sign, name in itertools.pairwise(tokens):
        if sign.token_type is TokenType.PARAMETER and name.text in nulls:
            yield _Edit(sign.start, name.end, "NULL")


def _edited(sql: str, edits: list[_Edit]) -> str:
    for edit in sorted(set(edits), key=lambda one: one.start, reverse=True):
        sql = f"{sql[: edit.start]}{edit.text}{sql[edit.end + 1 :]}"
    return sql
