"""rest.extract: rows of an API that a pipeline declares, as days or rows of a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from convergence.catalog.schemas import TableSchema
from convergence.catalog.sources import NoAuth, Source
from convergence.connectors import ProviderClient
from convergence.connectors.sources import open_source
from convergence.costs.declared import AMOUNTS, check_owner, find_cost_faults, is_cost_table
from convergence.errors import ConfigError, Fault, StepFailed
from convergence.processors.rest._columns import ColumnKeys, build_mapping, find_faults
from convergence.processors.rest._pages import DeclaredList
from convergence.processors.rest._paging import NoPages, Paging
from convergence.processors.rest._request import Request
from convergence.processors.rest._whole import load_whole
from convergence.steps import StepContext, StepResult
from convergence.steps.loading import DayLoad
from convergence.steps.registry import Finding, FindSchema
from convergence.steps.reports import choose_window, load_windows
from convergence.warehouse import WriteMode


class Config(BaseModel):
    """`request` and `paginator` say what is asked, `data_path` and `columns` what of the answer is kept, the rest how
    it is written. `keys` tell rows apart: a row that comes twice counts once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    request: Request
    paginator: Paging = NoPages(type="none")
    data_path: Annotated[
        list[Annotated[str, Field(pattern=r"^[^.\[\]]+(\.[^.\[\]]+)*$")]],
        BeforeValidator(lambda given: [given] if isinstance(given, str) else given),
        Field(min_length=1, max_length=2),
    ] = ["data"]
    columns: Annotated[dict[str, ColumnKeys], Field(min_length=1)]
    table: str
    write_mode: Literal["replace_window", "append", "overwrite", "merge"] = "replace_window"
    keys: list[str] = []
    amount_column: str | None = None
    restatement_days: Annotated[int, Field(ge=0, le=366)] = 0
    month_end_days: Annotated[int, Field(ge=0, le=62)] = 0
    most_days: Annotated[int, Field(ge=1, le=366)] = 31
    max_pages: Annotated[int, Field(ge=1, le=10_000)] = 1_000

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        if self.write_mode == "replace_window" and not self.request.names_days:
            raise ValueError("replaces days, and its request names none: {start_date} and {end_date}, or the like")
        if self.write_mode == "merge" and not self.keys:
            raise ValueError("write_mode: merge needs keys")
        if self.write_mode == "append" and (self.restatement_days or self.month_end_days):
            raise ValueError("write_mode: append adds the days again that restatement_days or month_end_days re-read")
        if self.paginator.is_posted and self.request.method != "POST":
            raise ValueError("paginator.send_in: body needs request.method: POST")
        if len(self.data_path) == 1 and any(one.bucket_field is not None for one in self.columns.values()):
            raise ValueError("bucket_field needs a data_path of two lists: [buckets, rows]")
        return self


def check(config: Mapping[str, Any], find_schema: FindSchema) -> Iterator[Finding]:
    """What the table has against a step that names it."""
    try:
        schema = find_schema(str(config.get("table", "")))
    except ConfigError as error:
        yield from (("table", fault.message, fault.expected) for fault in error.faults if "table" in config)
        return
    yield from (("table", message, expected) for message, expected in find_cost_faults(schema))
    columns = config.get("columns")
    if isinstance(columns, dict):
        yield from find_faults(columns, schema)
        yield from _check_names(config, columns, schema)


def _check_names(config: Mapping[str, Any], columns: Mapping[str, Any], schema: TableSchema) -> Iterator[Finding]:
    if config.get("write_mode", "replace_window") == "replace_window":
        if schema.partition_column is None:
            yield "table", f"{schema.name} is not partitioned by day, so no day of it can be replaced", None
        elif schema.partition_column not in columns:
            expected = f"a mapping of {schema.partition_column}"
            yield "columns", f"{schema.partition_column} is missing, which tells a row's day", expected
    keys = config.get("keys")
    for index, name in enumerate(keys if isinstance(keys, list) else ()):
        if isinstance(name, str) and name not in columns:
            yield f"keys.{index}", f"{name!r} is not mapped", ", ".join(columns)
    yield from _check_amounts(config.get("amount_column"), columns, schema)


def _check_amounts(watched: Any, columns: Mapping[str, Any], schema: TableSchema) -> Iterator[Finding]:
    """What money counts is always said: a factor of a hundred would look like money too."""
    if watched is not None and ((column := schema.column(str(watched))) is None or column.type != "NUMERIC"):
        yield "amount_column", f"{watched!r} is no NUMERIC column of {schema.name}", None
    for name in dict.fromkeys([*(AMOUNTS if is_cost_table(schema.name) else ()), str(watched)]):
        keys = columns.get(name)
        if isinstance(keys, str) or (isinstance(keys, dict) and not keys.keys() & {"unit", "value"}):
            yield f"columns.{name}", "is an amount whose unit is not declared", "unit: whole, cents or micro"


def get_engine() -> Extract:
    return Extract()


class Extract:
    """Days are replaced whole, a window at a time; other modes write everything at once."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        schema = context.catalog.schema(config.table)
        _check_table(step_config, context)
        check_owner(provider := context.provider_folder, config.table)
        rows = DeclaredList(
            context,
            await _open_client(context, provider),
            config.request,
            config.paginator,
            build_mapping(config.columns, config.data_path, schema),
            stream=f"{provider}.{config.table}",
            keys=config.keys,
            max_pages=config.max_pages,
        )
        watched = config.amount_column or ("billed_cost" if is_cost_table(config.table) else None)
        load = DayLoad(config.table, rows.stream, schema.partition_column or "usage_date", watched)
        days, most_days = choose_window(context, config.restatement_days, config.month_end_days), config.most_days
        if config.write_mode != "replace_window":
            return await load_whole(context, load, rows, days, WriteMode(config.write_mode), most_days=most_days)
        total = await load_windows(context, load, rows, days, most_days=most_days)
        total.check()
        return StepResult(total.rows, {**total.metadata, **rows.metadata})


def _check_table(step_config: Mapping[str, Any], context: StepContext) -> None:
    """The schema may have changed since the pipeline was accepted.

    Raises:
        ConfigError: all that the table has against the step.
    """
    found = list(check(step_config, context.catalog.schema))
    if found:
        raise ConfigError(
            [
                Fault(message, key=f"steps.{context.step_id}.{key}", expected=expected)
                for key, message, expected in found
            ],
            hint="convergence validate shows all faults of all pipelines.",
        )


async def _open_client(context: StepContext, provider: str) -> ProviderClient:
    source = context.catalog.find(context.run.pipeline_id).source
    if source is None:
        raise ConfigError(Fault("the pipeline has no source", key="source", expected="base_url, auth, validation"))
    credential = "" if isinstance(source.auth, NoAuth) else await context.credentials.reveal(context.tenant, provider)
    base_url = await _locate(context, provider, source)
    return open_source(context.http, context.tenant.org_slug, provider, source, credential, base_url=base_url)


async def _locate(context: StepContext, provider: str, source: Source) -> str:
    if source.base_url_from is None:
        return source.locate({})
    try:
        return source.locate(await context.credentials.given(context.tenant, provider))
    except ValueError as error:
        raise StepFailed(
            str(error),
            code="base_url_unknown",
            hint=f"Set it up with metadata: POST /integrations/{context.tenant.org_slug}/{provider}/setup.",
        ) from None
