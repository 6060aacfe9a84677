"""Whether GoogleSQL text parses; nothing is run or looked up."""

from __future__ import annotations

from convergence.catalog.templates import build_parametric_sql


def check_sql(sql: str) -> list[tuple[int, str]]:
    """(line, message) of each syntax error; templates count as the parameters that they become."""
    import sqlglot
    from sqlglot.errors import ParseError, TokenError

    try:
        statements = sqlglot.parse(build_parametric_sql(sql), read="bigquery")
    except ParseError as error:
        return [(int(one.get("line") or 1), str(one.get("description")).split(" but got <")[0]) for one in error.errors]
    except TokenError as error:
        return [(1, str(error).splitlines()[0])]
    return [] if any(statements) else [(1, "there is no statement")]
