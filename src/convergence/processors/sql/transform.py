"""sql.transform: days of a table from a statement over the organization's own tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from convergence.catalog.schemas import TableSchema
from convergence.catalog.templates import bind_sql
from convergence.costs.declared import check_owner, find_cost_faults
from convergence.errors import ConfigError, Fault, SchemaMismatch
from convergence.kit.window import Window
from convergence.sql import Statement
from convergence.sql.guard import check_select
from convergence.steps import StepContext, StepResult
from convergence.steps.loading import DayLoad, Fetched, publish_days
from convergence.steps.registry import Finding, FindSchema
from convergence.steps.reports import choose_window

if TYPE_CHECKING:
    import pyarrow as pa


class Config(BaseModel):
    """`sql` is a file with one SELECT whose columns go by the names of the table's. `{start_date}` and `{end_date}`
    are its first and last day.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    sql: Annotated[str, Field(pattern=r"^\S+\.sql$")]
    table: str
    amount_column: str | None = None
    restatement_days: Annotated[int, Field(ge=0, le=366)] = 0
    month_end_days: Annotated[int, Field(ge=0, le=62)] = 0


def check(config: Mapping[str, Any], find_schema: FindSchema) -> Iterator[Finding]:
    """What the table has against a step that names it."""
    if "table" not in config:
        return
    try:
        schema = find_schema(str(config["table"]))
    except ConfigError as error:
        yield from (("table", fault.message, fault.expected) for fault in error.faults)
        return
    yield from (("table", message, expected) for message, expected in find_cost_faults(schema))
    if schema.partition_column is None:
        yield "table", f"{schema.name} is not partitioned by day, so no day of it can be replaced", None
    amount = config.get("amount_column")
    column = schema.column(str(amount)) if amount is not None else None
    if amount is not None and (column is None or column.type != "NUMERIC"):
        yield "amount_column", f"{amount!r} is no NUMERIC column of {schema.name}", None


def get_engine() -> Transform:
    return Transform()


class Transform:
    """Whole days are replaced, those without rows too."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        check_owner(context.provider_folder, config.table)
        schema = context.catalog.schema(config.table)
        if schema.partition_column is None:
            raise ConfigError(Fault(f"{schema.name} is not partitioned by day", key=f"steps.{context.step_id}.table"))
        window = choose_window(context, config.restatement_days, config.month_end_days)
        rows = _fit(await context.warehouse.query(_build_statement(config, context, window)), schema)
        load = DayLoad(config.table, f"sql.{config.table}", schema.partition_column, config.amount_column)
        published = await publish_days(context, load, Fetched(window, rows))
        published.check()
        return StepResult(published.rows, published.metadata)


def _build_statement(config: Config, context: StepContext, window: Window) -> Statement:
    """One SELECT over tables of the organization alone; what templates name gets in as parameters.

    Raises:
        QueryRejected: it is another statement, or reads from elsewhere.
        ConfigError: a template that nothing fills.
    """
    values = {
        "org_slug": context.tenant.org_slug,
        "start_date": window.start,
        "end_date": window.last,
        "pipeline_id": context.run.pipeline_id,
        "run_id": context.run.run_id,
        "environment": context.platform.environment,
        **{f"parameters.{name}": value for name, value in context.parameters.items()},
    }
    sql, parameters = bind_sql(context.catalog.text(context.folder, config.sql), values)
    check_select(sql, context.tenant.dataset)
    return Statement(sql, context.tenant.dataset, parameters)


def _fit(rows: pa.Table, schema: TableSchema) -> pa.Table:
    """The table's columns in its order; those that the statement does not name are NULL.

    Raises:
        SchemaMismatch: a column that the table has not, or of another type.
    """
    import pyarrow as pa

    from convergence.warehouse.arrow import build_arrow_schema

    wanted = build_arrow_schema(schema)
    target = pa.schema([wanted.field(column.name) for column in schema.measures_and_dimensions])
    strange = sorted(set(rows.column_names) - set(target.names))
    if strange:
        raise _mismatch(schema, f"has no column {', '.join(strange)}")
    arrays = [rows[field.name] if field.name in rows.column_names else _nothing(rows, field) for field in target]
    try:
        return pa.Table.from_arrays(
            [array.cast(field.type) for array, field in zip(arrays, target, strict=True)], schema=target
        )
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise _mismatch(schema, f"takes other types: {error}") from error


def _nothing(rows: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    import pyarrow as pa

    return pa.chunked_array([pa.nulls(rows.num_rows, field.type)])


def _mismatch(schema: TableSchema, what: str) -> SchemaMismatch:
    return SchemaMismatch(
        f"table {schema.name} {what}",
        hint="Name the columns of the SELECT as the table's, and CAST where types differ.",
    )
