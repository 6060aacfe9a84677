"""GoogleSQL statements and their DuckDB translation: pure text, no I/O."""

from convergence.sql.statement import Parameter, Statement

__all__ = ["Parameter", "Statement"]
