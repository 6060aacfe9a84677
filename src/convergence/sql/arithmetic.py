"""Exact NUMERIC arithmetic on DuckDB, and its text.

DuckDB divides decimals as doubles, and a product of two DECIMAL(38, 9) has 18 places: three factors overflow. GoogleSQL
keeps both NUMERIC. These macros do the same; what is not a decimal keeps DuckDB's own result. The type of the result
is found while DuckDB binds the statement, by `cast_to_type`, because the argument may be any aggregate or column.

A quotient is exact as long as the dividend is below 8e19; above it the statement fails instead of being wrong.
"""

from __future__ import annotations

from typing import Final

from convergence.tenancy import DatasetRef

VERSION: Final = "2"

# DOUBLE for integers and doubles, DECIMAL(38, 9) as soon as a decimal takes part and no double does.
_QUOTIENT_TYPE = "coalesce(list_aggregate([a + b], 'median'), CAST(0 AS DECIMAL(38, 9)))"

_MACROS: Final = {
    "numeric_multiply(a, b)": "cast_to_type(a * b, round(a * b, 9))",
    "numeric_scaled(a)": "CAST(CAST(a AS DECIMAL(38, 9)) * 1000000000 AS HUGEINT)",
    "numeric_quotient(n, d)": (
        "CAST(CAST(sign(n) * sign(d) AS HUGEINT)"
        " * ((2 * abs(n) * 1000000000 + abs(d)) // nullif(2 * abs(d), 0)) AS DECIMAL(38, 0)) * 0.000000001"
    ),
    "numeric_divide(a, b)": (
        "CASE WHEN b = 0 THEN error('division by zero: use SAFE_DIVIDE')"
        f" WHEN typeof({_QUOTIENT_TYPE}) = 'DOUBLE' THEN cast_to_type(a / b, {_QUOTIENT_TYPE})"
        " ELSE cast_to_type({schema}.numeric_quotient({schema}.numeric_scaled(try_cast(a AS DECIMAL(38, 9))),"
        " {schema}.numeric_scaled(try_cast(b AS DECIMAL(38, 9)))), " + _QUOTIENT_TYPE + ") END"
    ),
    # GoogleSQL writes no zeros behind the last digit: 1.5, and 2 for the FLOAT64 2.0.
    "numeric_text(a)": (
        "CASE WHEN typeof(a) LIKE 'DECIMAL%' AND contains(CAST(a AS VARCHAR), '.')"
        " THEN rtrim(rtrim(CAST(a AS VARCHAR), '0'), '.')"
        " WHEN typeof(a) = 'DOUBLE' THEN regexp_replace(CAST(a AS VARCHAR), '[.]0$', '') ELSE CAST(a AS VARCHAR) END"
    ),
}


def macro_name(dataset: DatasetRef, name: str) -> str:
    """The macro's full name: every dataset carries its own, so that its views work in any program."""
    return f'"{dataset.name}".main.{name}'


def build_macros(dataset: DatasetRef, *, into: str | None = None) -> list[str]:
    """The statements that put the macros into a dataset, or into the copy of it attached as `into`; idempotent."""
    schema = f'"{dataset.name}".main'
    return [
        f'CREATE OR REPLACE MACRO "{into or dataset.name}".main.{signature} AS {body.replace("{schema}", schema)}'
        for signature, body in _MACROS.items()
    ]
