"""What a user may ask: one SELECT over the tables of one dataset, and nothing that reaches past them.

This explains a refusal. The wall is below: the engine runs the statement on a copy that holds only those tables,
without files, network or settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import TokenType

from convergence.errors import QueryRejected, StatementFailed
from convergence.sql.names import is_cte, written_name
from convergence.sql.translation import parse_one_statement
from convergence.tenancy import DatasetRef, TableRef

MAX_CHARACTERS: Final = 100_000
_HINT: Final = "Send one read-only SELECT over your own tables, named bare or as dataset.table."

_STATEMENTS: Final = (
    exp.DDL,
    exp.DML,
    exp.Command,
    exp.Drop,
    exp.Alter,
    exp.Merge,
    exp.Into,
    exp.Set,
    exp.Export,
    exp.Declare,
)
_FUNCTIONS: Final = (
    *(getattr(exp, name) for name in ("ReadCSV", "ReadParquet", "ToFile", "Secret", "NextValueFor", "Host", "NetFunc")),
    *(getattr(exp, name) for name in ("SessionUser", "Predict", "VectorSearch", "GenerateEmbedding", "FeaturesAtTime")),
    *(
        getattr(exp, name)
        for name in ("GenerateText", "GenerateTable", "GenerateBool", "GenerateInt", "GenerateDouble")
    ),
)
_HARMLESS_CURRENT: Final = frozenset({"CurrentDate", "CurrentDatetime", "CurrentTime", "CurrentTimestamp"})
_REACHING: Final = ("Current", "AI", "ML", "XML")
_UNKNOWN_ALLOWED: Final = frozenset({"ieee_divide", "error"})


def check_select(sql: str, dataset: DatasetRef) -> frozenset[TableRef]:
    """The tables that a user's statement reads.

    Raises:
        QueryRejected: with the reason.
    """
    if len(sql) > MAX_CHARACTERS:
        raise _rejected(f"the statement has {len(sql)} characters, the most is {MAX_CHARACTERS}")
    tree = _parse(sql)
    if not isinstance(tree, exp.Query):
        raise _rejected("only SELECT is allowed")
    for node in tree.walk():
        if reason := _fault(node):
            raise _rejected(reason)
    return frozenset(_tables(tree, dataset))


def _parse(sql: str) -> exp.Expr:
    try:
        tokens = BigQuery().tokenize(sql)
    except SqlglotError as error:
        raise _rejected(f"syntax error: {str(error).splitlines()[0]}") from error
    if any(token.token_type is TokenType.PIPE_GT for token in tokens):
        raise _rejected("pipe syntax (|>) is not allowed")
    try:
        return parse_one_statement(sql)
    except StatementFailed as error:
        raise _rejected(error.message) from error


def _fault(node: exp.Expr) -> str | None:
    if isinstance(node, _STATEMENTS):
        return "only SELECT is allowed"
    reason = next((explain for kind, explain in _FAULTS if isinstance(node, kind)), None)
    return reason(node) if reason else None


def _lock_fault(node: exp.Expr) -> str | None:
    return "FOR UPDATE is not allowed" if node.args.get("locks") else None


def _method_fault(node: exp.Expr) -> str | None:
    called = isinstance(node.expression, exp.Func)
    return f"function {node.sql(dialect='bigquery')[:80]} is not allowed" if called else None


def _variable_fault(node: exp.Expr) -> str | None:
    return "system variables (@@name) are not allowed" if isinstance(node.this, exp.Parameter) else None


def _position_fault(_node: exp.Expr) -> str | None:
    return "positional parameters (?) are not allowed: name them, as in @start_date"


def _unknown_fault(node: exp.Expr) -> str | None:
    return None if node.name.lower() in _UNKNOWN_ALLOWED else f"function {node.name} is not known"


def _reach_fault(node: exp.Expr) -> str | None:
    name = type(node).__name__
    reaches = isinstance(node, _FUNCTIONS) or (name.startswith(_REACHING) and name not in _HARMLESS_CURRENT)
    return f"function {name} is not allowed" if reaches else None


def _table_fault(node: exp.Expr) -> str | None:
    if not isinstance(node, exp.Table):
        return None
    name = written_name(node)
    if not isinstance(node.this, exp.Identifier):
        return f"table function {node.this.sql(dialect='bigquery')[:80]} is not allowed"
    if "INFORMATION_SCHEMA" in name.upper():
        return "INFORMATION_SCHEMA is not allowed"
    if "*" in name:
        return f"wildcard table {name} is not allowed"
    if node.args.get("version"):
        return "FOR SYSTEM_TIME AS OF is not allowed"
    return None


_FAULTS: Final[tuple[tuple[type[exp.Expr], Callable[[exp.Expr], str | None]], ...]] = (
    (exp.Query, _lock_fault),
    (exp.Table, _table_fault),
    (exp.Dot, _method_fault),
    (exp.Parameter, _variable_fault),
    (exp.Placeholder, _position_fault),
    (exp.Anonymous, _unknown_fault),
    (exp.Func, _reach_fault),
)


def _tables(tree: exp.Expr, dataset: DatasetRef) -> Iterator[TableRef]:
    for node in tree.find_all(exp.Table):
        if is_cte(node):
            continue
        if node.catalog or (node.db and node.db != dataset.name):
            raise _rejected(f"table {written_name(node)} is not in dataset {dataset.name}")
        if node.name.startswith("_"):
            raise _rejected(f"table {written_name(node)} is internal")
        yield TableRef(dataset, node.name)


def _rejected(reason: str) -> QueryRejected:
    return QueryRejected(reason, hint=_HINT)
