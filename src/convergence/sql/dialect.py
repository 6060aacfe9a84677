"""What DuckDB says otherwise than GoogleSQL, beyond what sqlglot knows.

Each rule takes a node whose children are already rewritten and returns its replacement.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from sqlglot import exp

from convergence.errors import StatementFailed
from convergence.sql.arithmetic import macro_name
from convergence.tenancy import DatasetRef

Rule = Callable[[exp.Expr, DatasetRef], exp.Expr]

NUMERIC: Final = exp.DataType.build("DECIMAL(38, 9)", dialect="duckdb")
BIGNUMERIC: Final = exp.DataType.build("DECIMAL(38, 18)", dialect="duckdb")  # DuckDB's decimals end at 38 digits
_TIMESTAMP: Final = exp.DataType.build("TIMESTAMPTZ", dialect="duckdb")
_PRINTF_ELSEWHERE: Final = re.compile(r"%[-+ #0-9.*]*['tTpP]")
_WEEKS: Final = {"WEEK": "%U", "SUNDAY": "%U", "MONDAY": "%W"}  # by the first day of a week
_ABSENT: Final[dict[type[exp.Expr], tuple[str, str]]] = {
    exp.FarmFingerprint: ("FARM_FINGERPRINT", "Use TO_HEX(SHA256(..)) or TO_HEX(MD5(..))."),
    exp.ApproxTopK: ("APPROX_TOP_COUNT", "Count with GROUP BY, ORDER BY and LIMIT."),
    exp.Soundex: ("SOUNDEX", "Compare the texts themselves."),
}
_WHOLE_INTERVALS: Final = "date_sub"  # DuckDB's date_diff counts boundaries, TIMESTAMP_DIFF whole intervals


def rewrite(tree: exp.Expr, dataset: DatasetRef) -> exp.Expr:
    """Apply every rule, the innermost nodes first."""
    for node in reversed(list(tree.walk(bfs=True))):
        rule = _RULES.get(type(node))
        replacement = rule(node, dataset) if rule else node
        if replacement is node:
            continue
        if node is tree:
            tree = replacement
        else:
            node.replace(replacement)
    return tree


def call(name: str, *arguments: exp.Expr) -> exp.Anonymous:
    """A function of DuckDB by its own name."""
    return exp.Anonymous(this=name, expressions=[argument.copy() for argument in arguments])


def _like(value: exp.Expr, source: exp.Expr) -> exp.Expr:
    """`value` in the type that `source` turns out to have."""
    return call("cast_to_type", value, source)


def _cast(value: exp.Expr, kind: str) -> exp.Cast:
    return exp.Cast(this=value.copy(), to=exp.DataType.build(kind, dialect="duckdb"))


def _as_date(value: exp.Expr) -> exp.Expr:
    return _cast(value, "DATE") if isinstance(value, exp.Literal) and value.is_string else value


def _has_interval(node: exp.Expr) -> bool:
    return any(isinstance(side.unnest(), exp.Interval) for side in (node.this, node.expression))


def _multiply(node: exp.Expr, dataset: DatasetRef) -> exp.Expr:
    return node if _has_interval(node) else call(macro_name(dataset, "numeric_multiply"), node.this, node.expression)


def _divide(node: exp.Expr, dataset: DatasetRef) -> exp.Expr:
    return call(macro_name(dataset, "numeric_divide"), node.this, node.expression)


def _safe_divide(node: exp.Expr, dataset: DatasetRef) -> exp.Expr:
    divisor = exp.Nullif(this=node.expression.copy(), expression=exp.Literal.number(0))
    return call(macro_name(dataset, "numeric_divide"), node.this, divisor)


def _average(node: exp.Expr, dataset: DatasetRef) -> exp.Expr:
    """AVG of NUMERIC is NUMERIC: sum over count, with whatever FILTER and OVER surround it."""
    if isinstance(node.parent, exp.Window | exp.Filter | exp.Pivot):
        return node
    return _sum_over_count(node, node, dataset)


def _average_within(node: exp.Expr, dataset: DatasetRef) -> exp.Expr:
    inner = node.this.this if isinstance(node.this, exp.Filter) else node.this
    if not isinstance(inner, exp.Avg) or isinstance(node.parent, exp.Window):
        return node
    return _sum_over_count(node, inner, dataset)


def _sum_over_count(whole: exp.Expr, average: exp.Expr, dataset: DatasetRef) -> exp.Expr:
    count = _swap(whole, average, exp.Count(this=average.this.copy(), big_int=True))
    divisor = exp.Nullif(this=count, expression=exp.Literal.number(0))
    total = _swap(whole, average, exp.Sum(this=average.this.copy()))
    return call(macro_name(dataset, "numeric_divide"), total, divisor)


def _swap(whole: exp.Expr, part: exp.Expr, replacement: exp.Expr) -> exp.Expr:
    if whole is part:
        return replacement
    copy = whole.copy()
    found = copy.find(type(part))
    if found is not None:
        found.replace(replacement)
    return copy


def _data_type(node: exp.Expr, _dataset: DatasetRef) -> exp.Expr:
    bare = not node.expressions
    if bare and node.is_type(exp.DType.DECIMAL):
        return NUMERIC.copy()
    if bare and node.is_type(exp.DType.BIGDECIMAL):
        return BIGNUMERIC.copy()
    return node


def _shift_date(node: exp.Expr, _dataset: DatasetRef) -> exp.Expr:
    """DuckDB makes a TIMESTAMP of a DATE plus an interval."""
    day = _as_date(node.this)
    node.set("this", day.copy())
    return _like(node, day)


def _truncate_date(node: exp.Expr, _dataset: DatasetRef) -> exp.Expr:
    day = _as_date(node.this)
    node.set("this", day.copy())
    return _like(node, day)


def _timestamp_difference(node: exp.Expr, _dataset: DatasetRef) -> exp.Expr:
    unit = exp.Literal.string(node.text("unit").lower() or "microsecond")
    return call(_WHOLE_INTERVALS, unit, node.expression, node.this)


def _as_timestamp(node: exp.Expr, _dataset: DatasetRef) -> exp.Expr:
    return exp.Cast(this=node.copy(), to=_TIMESTAMP.copy())


def _text(node: exp.Expr, dataset: DatasetRef) -> exp.Expr:
    """CAST to STRING; what is no number is cast as it always was."""
    to = node.args["to"]
    plain = to.is_type(exp.DType.TEXT, exp.DType.VARCHAR) and not to.expressions
    return call(macro_name(dataset, "numeric_text"), node.this) if plain else node


def _count_if(node: exp.Expr, _dataset: DatasetRef) -> exp.Expr:
    """DuckDB's count_if is a sum: over no rows, or only NULLs, it is NULL where COUNTIF is 0."""
    distinct = isinstance(node.this, exp.Distinct)
    condition = node.this.expressions[0] if distinct else node.this
    counted: exp.Expr = exp.case().when(condition.copy(), exp.true())
    if distinct:
        counted = exp.Distinct(expressions=[counted])
    return exp.Count(this=counted, big_int=True)


def _joined_text(node: exp.Expr, _dataset: DatasetRef) -> exp.Expr:
    """STRING_AGG with a LIMIT, which DuckDB has not: a list that is cut and then joined."""
    if not isinstance(node.this, exp.Limit):
        return node
    separator = node.args.get("separator") or exp.Literal.string(",")
    return call("array_to_string", _sliced(node, ignore_nulls=True), separator)


def _format(node: exp.Expr, _dataset: DatasetRef) -> exp.Expr:
    pattern = node.this
    if isinstance(pattern, exp.Literal) and _PRINTF_ELSEWHERE.search(pattern.name):
        raise StatementFailed("FORMAT with %t, %T, %p or %' is not available on DuckDB", hint="CAST to STRING first.")
    return call("printf", pattern, *node.expressions)


def _refuse_absent(node: exp.Expr, _dataset: DatasetRef) -> exp.Expr:
    name, hint = _ABSENT[type(node)]
    raise StatementFailed(f"{name} is not available on DuckDB", code="function_missing", hint=hint)


def _week_start(node: exp.Expr, _dataset: DatasetRef) -> exp.Expr:
    day = node.name.upper()
    if isinstance(node.parent, exp.Extract) and day not in _WEEKS:
        raise StatementFailed(
            f"EXTRACT(WEEK({day})) is not available on DuckDB", hint="Let weeks start on SUNDAY or MONDAY."
        )
    return node


def _extract(node: exp.Expr, _dataset: DatasetRef) -> exp.Expr:
    source, unit = node.expression, node.this.name.upper()
    if unit in _WEEKS:
        return _cast(call("strftime", source, exp.Literal.string(_WEEKS[unit])), "BIGINT")
    match unit:
        case "DAYOFWEEK":
            return exp.Paren(this=exp.Add(this=node.copy(), expression=exp.Literal.number(1)))
        case "ISOWEEK":
            return exp.Extract(this=exp.var("WEEK"), expression=source.copy())
        case "DATE":
            return _cast(source, "DATE")
        case "TIME":
            return _cast(_cast(source, "TIMESTAMP"), "TIME")
        case _:
            return node


def _array_aggregate(node: exp.Expr, _dataset: DatasetRef) -> exp.Expr:
    """ARRAY_AGG([DISTINCT] x [IGNORE NULLS] [ORDER BY ..] [LIMIT n]): a LIMIT slices the list afterwards."""
    if not isinstance(node.this, exp.ArrayAgg):
        return node
    return _sliced(node.this, ignore_nulls=isinstance(node, exp.IgnoreNulls))


def _bare_array_aggregate(node: exp.Expr, _dataset: DatasetRef) -> exp.Expr:
    if isinstance(node.parent, exp.IgnoreNulls | exp.RespectNulls):
        return node
    return _sliced(node, ignore_nulls=False)


def _sliced(aggregate: exp.Expr, *, ignore_nulls: bool) -> exp.Expr:
    argument = aggregate.this
    limit = argument.expression if isinstance(argument, exp.Limit) else None
    inner = argument.this if limit is not None else argument
    result: exp.Expr = call("array_agg", inner)
    if ignore_nulls:
        value = inner.this if isinstance(inner, exp.Order) else inner
        value = value.expressions[0] if isinstance(value, exp.Distinct) else value
        present = exp.Not(this=exp.Is(this=value.copy(), expression=exp.Null()))
        result = exp.Filter(this=result, expression=exp.Where(this=present))
    return result if limit is None else call("list_slice", result, exp.Literal.number(1), limit)


def _subscript(node: exp.Expr, _dataset: DatasetRef) -> exp.Expr:
    """A bare index counts from 0; DuckDB's does for JSON and counts from 1 for arrays."""
    index = node.expressions[0]
    if node.args.get("offset") is not None or index.is_string:
        return node
    kind = call("typeof", node.this).eq(exp.Literal.string("JSON"))
    first = exp.case().when(kind, exp.Literal.number(0)).else_(exp.Literal.number(1))
    shifted = exp.Add(this=index.copy(), expression=first)
    return exp.Bracket(this=node.this.copy(), expressions=[shifted], offset=1)


def _safe_function(node: exp.Expr, _dataset: DatasetRef) -> exp.Expr:
    return call("try", node.this)


def _unnest(node: exp.Expr, _dataset: DatasetRef) -> exp.Expr:
    """WITH OFFSET counts from 0, DuckDB's WITH ORDINALITY from 1."""
    offset, alias = node.args.get("offset"), node.args.get("alias")
    columns = alias.columns if isinstance(alias, exp.TableAlias) else []
    if not isinstance(offset, exp.Identifier) or len(columns) != 1:
        return node
    if len(node.expressions) != 1:
        return node
    array = node.expressions[0]
    position = exp.Sub(this=call("generate_subscripts", array, exp.Literal.number(1)), expression=exp.Literal.number(1))
    inner = exp.select(exp.alias_(call("unnest", array), columns[0].copy()), exp.alias_(position, offset.copy()))
    if isinstance(node.parent, exp.Join) and node.parent.side and not node.parent.args.get("on"):
        node.parent.set("on", exp.true())
    return inner.subquery(f"_offset_{offset.name}")


def _merge_insert(node: exp.Expr, _dataset: DatasetRef) -> exp.Expr:
    """INSERT ROW inserts all columns, in their order."""
    if isinstance(node.parent, exp.When) and node.this is not None and node.this.name.upper() == "ROW":
        return exp.Insert(this=exp.Star())
    return node


_RULES: Final[dict[type[exp.Expr], Rule]] = {
    exp.Mul: _multiply,
    exp.Div: _divide,
    exp.SafeDivide: _safe_divide,
    exp.Avg: _average,
    exp.Cast: _text,
    exp.TryCast: _text,
    exp.CountIf: _count_if,
    exp.GroupConcat: _joined_text,
    exp.Format: _format,
    exp.Window: _average_within,
    exp.Filter: _average_within,
    exp.DataType: _data_type,
    exp.DateAdd: _shift_date,
    exp.DateSub: _shift_date,
    exp.DateTrunc: _truncate_date,
    exp.TimestampDiff: _timestamp_difference,
    exp.UnixToTime: _as_timestamp,
    exp.StrToTime: _as_timestamp,
    exp.Extract: _extract,
    exp.WeekStart: _week_start,
    exp.ArrayAgg: _bare_array_aggregate,
    exp.IgnoreNulls: _array_aggregate,
    exp.RespectNulls: _array_aggregate,
    exp.SafeFunc: _safe_function,
    exp.Bracket: _subscript,
    exp.Unnest: _unnest,
    exp.Insert: _merge_insert,
    **dict.fromkeys(_ABSENT, _refuse_absent),
}
