"""files.focus: a FOCUS file of another cloud (1.0 to 1.4) beside the rows that the platform builds itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict

from convergence.catalog.schemas import TableSchema
from convergence.connectors.files import FileLayout
from convergence.connectors.layout import FieldSpec
from convergence.connectors.strict_rows import Reject
from convergence.connectors.uploads import Upload
from convergence.costs.focus.build import FILES, SCOPE_COLUMN, TABLE, ensure_focus
from convergence.errors import StepFailed
from convergence.kit.window import join_days
from convergence.processors.files.load import FIELD_TYPES, spell_json_columns
from convergence.sql import Parameter, Statement
from convergence.steps import StepContext, StepResult, file_days
from convergence.steps.files import days_of, file_name, find_upload, publish_file, read_table
from convergence.steps.loading import DayLoad, Fetched, Published, publish_days

if TYPE_CHECKING:
    import pyarrow as pa

_DAY: Final = "x_UsageDate"
_OTHER_NAMES: Final = {  # of 1.0 to 1.3, and of the draft of 1.5
    "ServiceProviderName": "ProviderName",
    "HostProviderName": "PublisherName",
    "x_CredentialId": "CredentialId",
    "x_PrincipalId": "PrincipalId",
}
_OURS: Final = frozenset(  # what only the platform says
    {_DAY, SCOPE_COLUMN, "x_Provider", "x_RunId", "x_SourceFile", "x_Unpriced"}
)
_MAY_LACK: Final = frozenset({"ServiceProviderName", "ListCost", "ContractedCost"})
_NULL_TEXTS: Final = ("NULL", "null")


class Config(BaseModel):
    """The run's parameters name the provider and the uploaded file; `remove` takes back what such a file has loaded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    remove: bool = False


def get_engine() -> FocusFileProcessor:
    return FocusFileProcessor()


class FocusFileProcessor:
    """Replaces or removes the days of the file, of its provider and of its billing accounts, and nothing else."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        provider, upload = _provider(context), await find_upload(context)
        schema = context.catalog.schema(TABLE)
        table = await asyncio.to_thread(read_table, upload.path, file_name(context), build_layout(schema))
        rows = build_rows(table.rows, schema, provider, upload, context.run.run_id)
        await ensure_focus(context)
        if config.remove:
            total = await _remove(context, rows)
        else:
            await _refuse_twice(context, provider, rows)
            total = await _replace(context, provider, rows, table.rejects)
        total.check()
        left_out = sorted(table.unknown_columns)
        metadata = {**total.metadata, "files": list(table.members), "columns_left_out": left_out[:100]}
        return StepResult(total.rows, {**metadata, **file_days(days_of(rows, _DAY))})


def _provider(context: StepContext) -> str:
    provider = context.parameters.get("provider")
    if not isinstance(provider, str) or not provider:
        raise StepFailed("the run does not say whose file it is", hint="POST /files/{org}/{provider} with kind=focus.")
    return provider


def build_layout(schema: TableSchema) -> FileLayout:
    """Every FOCUS column by this and its other names, and the platform's own where an export of it comes back.

    Times without a zone are UTC by the standard.
    """
    fields = [
        FieldSpec(
            column.name,
            type=FIELD_TYPES[column.type],
            required=column.mode == "REQUIRED" and column.name not in _MAY_LACK,
            time_format="rfc3339",
        )
        for column in schema.measures_and_dimensions
        if column.name not in _OURS
    ]
    others = [FieldSpec(name) for name in _OTHER_NAMES.values()]
    return FileLayout((*fields, *others), null_texts=_NULL_TEXTS, assume_utc=True)


def build_rows(rows: pa.Table, schema: TableSchema, provider: str, upload: Upload, run_id: str) -> pa.Table:
    """The rows in the columns of focus_cost_daily, without lineage."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from convergence.warehouse.arrow import build_arrow_schema

    for name, other in _OTHER_NAMES.items():
        rows = _set(rows, name, pc.coalesce(rows[name], rows[other]))
    rows = _set(rows, "ServiceProviderName", pc.coalesce(rows["ServiceProviderName"], rows["InvoiceIssuerName"]))
    unpriced = pc.is_null(rows["ListCost"])
    accounts = pc.binary_join_element_wise(f"{FILES}{provider}", rows["BillingAccountId"].cast(pa.string()), "/")
    known = {
        "ListCost": pc.coalesce(rows["ListCost"], rows["BilledCost"]),
        "ContractedCost": pc.coalesce(rows["ContractedCost"], rows["EffectiveCost"]),
        "x_Unpriced": unpriced,
        _DAY: rows["ChargePeriodStart"].cast(pa.date32()),
        SCOPE_COLUMN: accounts,
        "x_Provider": pa.repeat(pa.scalar(provider), rows.num_rows),
        "x_SourceFile": pa.repeat(pa.scalar(upload.sha256), rows.num_rows),
        "x_RunId": pa.repeat(pa.scalar(run_id), rows.num_rows),
    }
    for name, values in known.items():
        rows = _set(rows, name, values)
    wanted = build_arrow_schema(schema)
    names = [column.name for column in schema.measures_and_dimensions]
    columns = [
        rows[name] if name in rows.column_names else pa.nulls(rows.num_rows, wanted.field(name).type) for name in names
    ]
    return spell_json_columns(pa.table(dict(zip(names, columns, strict=True))), schema)


async def _refuse_twice(context: StepContext, provider: str, rows: pa.Table) -> None:
    """
    Raises:
        StepFailed: focus_counted_twice: the platform builds rows of this provider for some of the days.
    """
    window = days_of(rows, _DAY)
    sql = (
        f"SELECT DISTINCT {_DAY} AS day FROM {TABLE} WHERE x_Provider = @provider"
        f" AND {_DAY} >= @start_date AND {_DAY} < @end_date AND NOT STARTS_WITH({SCOPE_COLUMN}, '{FILES}')"
    )
    values: dict[str, Parameter] = {"provider": provider, "start_date": window.start, "end_date": window.end}
    found = (await context.warehouse.query(Statement(sql, context.tenant.dataset, values))).to_pylist()
    days = {row["day"] for row in found} & set(rows[_DAY].unique().to_pylist())
    if days:
        raise StepFailed(
            f"{provider} has costs of {len(days)} days of the file already, the first {min(days)}",
            code="focus_counted_twice",
            hint="Load the file under another provider name, or only days that are not loaded otherwise.",
        )


async def _replace(context: StepContext, provider: str, rows: pa.Table, rejects: Sequence[Reject]) -> Published:
    parts = _by_scope(rows)
    refused = _rejects_by_scope(provider, rejects, list(parts))
    total = Published()
    for scope, part in parts.items():
        total.extend(await publish_file(context, _load(scope), part, refused.get(scope, []), _day_of))
    return total


async def _remove(context: StepContext, rows: pa.Table) -> Published:
    """Leave nothing of the days, whichever file of these accounts they came from."""
    total = Published()
    for scope, part in _by_scope(rows).items():
        for window in join_days(sorted(part[_DAY].unique().to_pylist())):
            total.extend(await publish_days(context, _load(scope), Fetched(window, part.slice(0, 0))))
    return total


def _load(scope: str) -> DayLoad:
    return DayLoad(TABLE, f"focus.{scope}", _DAY, "BilledCost", (SCOPE_COLUMN, scope))


def _by_scope(rows: pa.Table) -> dict[str, pa.Table]:
    import pyarrow.compute as pc

    scopes = sorted(rows[SCOPE_COLUMN].unique().to_pylist())
    return {scope: rows.filter(pc.equal(rows[SCOPE_COLUMN], scope)) for scope in scopes}


def _rejects_by_scope(provider: str, rejects: Sequence[Reject], scopes: Sequence[str]) -> dict[str, list[Reject]]:
    """A refused row whose account cannot be told is kept with the first one."""
    found: dict[str, list[Reject]] = {}
    for reject in rejects:
        scope = f"{FILES}{provider}/{reject.bucket.get('BillingAccountId')}"
        found.setdefault(scope if scope in scopes else scopes[0], []).append(reject)
    return found


def _day_of(reject: Reject) -> date | None:
    start = reject.bucket.get("ChargePeriodStart")
    return start.date() if isinstance(start, datetime) else None


def _set(rows: pa.Table, name: str, values: Any) -> pa.Table:
    place = rows.schema.get_field_index(name)
    return rows.append_column(name, values) if place < 0 else rows.set_column(place, name, values)
