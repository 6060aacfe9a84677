"""FOCUS files of what an organization spent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.responses import StreamingResponse

from convergence.api.deps import OrgOf, PlatformOf
from convergence.api.fields import Body, Day
from convergence.api.gate import GatedRoute, org_key
from convergence.api.routers.costs import choose_window
from convergence.costs.focus.export import FORMATS, FocusExport

router = APIRouter(prefix="/api/v1/export", tags=["export"], route_class=GatedRoute)


class ExportQuery(Body):
    """Both days are included; without them it is the last 30, today among them."""

    version: Literal["1.2", "1.4"] = "1.4"
    start_date: Day | None = None
    end_date: Day | None = None
    format: Literal["csv", "parquet"] = "csv"


@router.get(
    "/{org}/focus",
    dependencies=[org_key("costs:read")],
    response_class=StreamingResponse,
    responses={200: {"content": {kind: {} for kind in FORMATS.values()}}},
)
async def export_focus(org: OrgOf, platform: PlatformOf, asked: Annotated[ExportQuery, Query()]) -> StreamingResponse:
    """FOCUS Cost and Usage rows: 57 columns in 1.2, 65 and the platform's own x_ columns in 1.4.

    Days without rows leave the header alone. The file is sent as it is read.
    """
    window = choose_window(asked.start_date, asked.end_date, platform.clock)
    export = FocusExport(platform.warehouse, platform.catalog, org, window, asked.version)
    headers = {"Content-Disposition": f'attachment; filename="{export.file_name(asked.format)}"'}
    pieces = export.pieces(asked.format)
    first = await anext(pieces)  # what fails now is still told by the status
    return StreamingResponse(_chain(first, pieces), media_type=FORMATS[asked.format], headers=headers)


async def _chain(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece
