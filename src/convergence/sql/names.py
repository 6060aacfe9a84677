"""Which table a name in a statement means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlglot import exp

from convergence.errors import StatementFailed
from convergence.tenancy import DatasetRef, TableRef


def resolve_tables(tree: exp.Expr, dataset: DatasetRef, tables: Mapping[str, TableRef]) -> frozenset[TableRef]:
    """Point every table name of the tree at its table, in place, and return the tables.

    Names of CTEs are left alone. `tables` wins over the dataset's own tables.

    Raises:
        StatementFailed: a table of another dataset.
    """
    found = find_tables(tree, dataset, tables)
    for node, table in found:
        _point(node, table)
    return frozenset(table for _node, table in found)


def find_tables(
    tree: exp.Expr, dataset: DatasetRef, tables: Mapping[str, TableRef]
) -> list[tuple[exp.Table, TableRef]]:
    """Every table name of the tree with the table that it means, as `resolve_tables` has it.

    Raises:
        StatementFailed: a table of another dataset.
    """
    return [
        (node, _table(node, dataset, tables))
        for node in list(tree.find_all(exp.Table))
        if isinstance(node.this, exp.Identifier) and not is_cte(node)
    ]


def is_cte(node: exp.Table) -> bool:
    """Whether a WITH clause in sight gives this name."""
    return not node.db and node.name.casefold() in set(_visible_ctes(node))


def written_name(node: exp.Table) -> str:
    """The name as the statement has it: `catalog.dataset.table` as far as given."""
    return ".".join(part for part in (node.catalog, node.db, node.name) if part)


def _table(node: exp.Table, dataset: DatasetRef, tables: Mapping[str, TableRef]) -> TableRef:
    written = written_name(node)
    if written in tables:
        return tables[written]
    if node.catalog or (node.db and node.db != dataset.name):
        raise StatementFailed(
            f"table {written} is not in dataset {dataset.name}",
            hint=f"Name tables bare or as {dataset.name}.table; write UNNEST(...) for an array column.",
        )
    return TableRef(dataset, node.name)


def _point(node: exp.Table, table: TableRef) -> None:
    if table.name != node.name and not node.alias:
        node.set("alias", exp.TableAlias(this=exp.to_identifier(node.name, quoted=True)))
    node.set("this", exp.to_identifier(table.name, quoted=True))
    node.set("db", exp.to_identifier("main"))
    node.set("catalog", exp.to_identifier(table.dataset.name, quoted=True))


def _visible_ctes(node: exp.Expr) -> Iterator[str]:
    inside: exp.Expr = node
    while (parent := inside.parent) is not None:
        clause = parent if isinstance(parent, exp.With) else parent.args.get("with_")
        if isinstance(clause, exp.With) and clause is not inside:
            yield from _names_before(clause, inside)
        inside = parent


def _names_before(clause: exp.With, inside: exp.Expr) -> Iterator[str]:
    """A CTE sees the ones before it, and itself only where it is recursive."""
    for cte in clause.expressions:
        if cte is inside and not clause.recursive:
            return
        yield cte.alias.casefold()
