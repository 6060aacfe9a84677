"""Questions in SQL over an organization's own tables."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter
from pydantic import AfterValidator, Field, JsonValue, StrictInt
from starlette.responses import Response

from convergence.api.deps import OrgOf, PlatformOf
from convergence.api.fields import Answer, Body, Text
from convergence.api.gate import GatedRoute, org_key
from convergence.api.results import FORMATS, Result
from convergence.errors import InvalidRequest
from convergence.sql import Parameter, Statement

router = APIRouter(prefix="/api/v1/query", tags=["query"], route_class=GatedRoute)
_MAX_SQL_LENGTH: Final = 100_000
_MAX_PARAMETERS: Final = 100
_MAX_DOWNLOAD_ROWS: Final = 1_000_000
_INT64: Final = range(-(2**63), 2**63)


def _check_value(value: JsonValue) -> JsonValue:
    for item in value if isinstance(value, list) else [value]:
        _check_scalar(item)
    return value


def _check_scalar(value: JsonValue) -> None:
    if isinstance(value, list | dict):
        raise ValueError("is neither a plain value nor a list of them")  # noqa: TRY004 - what pydantic reports
    if isinstance(value, int) and value not in _INT64:
        raise ValueError("is outside INT64; send a larger number as text and cast it")
    if isinstance(value, str) and "\0" in value:
        raise ValueError("has a NUL character")


Value = Annotated[JsonValue, AfterValidator(_check_value)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]


class QueryBody(Body):
    """`params` fill the `@name`s of the SQL: text is STRING, whole numbers INT64, numbers with a fraction NUMERIC, true
    and false BOOL, a list an ARRAY. A day is text: `usage_date >= CAST(@first AS DATE)`."""

    sql: Annotated[Text, Field(min_length=1, max_length=_MAX_SQL_LENGTH)]
    params: dict[Name, Value] = Field(default_factory=dict, max_length=_MAX_PARAMETERS)
    max_rows: Annotated[StrictInt, Field(ge=1, le=_MAX_DOWNLOAD_ROWS)] = 1000
    format: Literal["json", "csv", "arrow", "parquet"] = "json"


class ColumnAnswer(Answer):
    """`type` is BigQuery's name of it."""

    name: str
    type: str


class QueryAnswer(Answer):
    """`bytes_processed` is null where the engine cannot tell."""

    columns: list[ColumnAnswer]
    rows: list[dict[str, Any]]
    row_count: int
    truncated: bool
    duration_ms: int
    bytes_processed: int | None


@router.post("/{org}", dependencies=[org_key("query:read")], response_model=QueryAnswer)
async def query(body: QueryBody, org: OrgOf, platform: PlatformOf) -> Response:
    """Run one read-only GoogleSQL SELECT over the organization's own dataset; anything else is 400 `query_rejected`.

    Tables are named bare or as `dataset.table`. More than `max_rows` rows are cut, and `truncated` says so. In csv,
    arrow (an IPC stream) and parquet the figures beside the rows are in the headers X-Row-Count, X-Truncated and
    X-Duration-Ms.
    """
    _check_rows(body, platform.settings.bq_max_results_per_page)
    started = time.perf_counter()
    table = await platform.warehouse.read(
        Statement(body.sql, org.dataset, {name: _parameter(value) for name, value in body.params.items()}),
        max_rows=body.max_rows,
        max_bytes=platform.settings.bq_max_bytes_billed,
    )
    duration_ms = round((time.perf_counter() - started) * 1000)
    result = Result.of(table, max_rows=body.max_rows, duration_ms=duration_ms)
    return await asyncio.to_thread(FORMATS[body.format], result)


def _check_rows(body: QueryBody, most: int) -> None:
    if body.format == "json" and body.max_rows > most:
        raise InvalidRequest(
            f"max_rows {body.max_rows} is more than {most} in json",
            hint=f"Take csv, arrow or parquet, which give up to {_MAX_DOWNLOAD_ROWS} rows.",
        )


def _parameter(value: Any) -> Parameter:
    if isinstance(value, list):
        return [_scalar(item) for item in value]
    return _scalar(value)


def _scalar(value: Any) -> str | int | bool | Decimal | None:
    """A fraction becomes the decimal that it was written as."""
    if isinstance(value, float):
        return Decimal(repr(value))
    assert value is None or isinstance(value, str | int)  # noqa: S101 - what the body allows
    return value
