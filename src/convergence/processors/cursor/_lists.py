"""Lists of the Admin API that are asked for with a posted body, page by page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from convergence.connectors import PageLayout, PageNumber, Params, ProviderClient, Reject
from convergence.connectors.decode import DecodedPage, decode_page
from convergence.errors import ProviderMisbehaved
from convergence.kit.jsontext import loads
from convergence.kit.window import Window, midnight
from convergence.processors.cursor._client import PROVIDER
from convergence.steps.loading import Rejected

if TYPE_CHECKING:
    import pyarrow as pa

    from convergence.catalog.schemas import TableSchema

HAS_NEXT_PAGE = PageNumber(has_more="pagination.hasNextPage")
MOST_DAYS = 30  # of one request
_MILLISECOND = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PostedList:
    """`layout` is what its rows hold; the members of its envelope come with every page."""

    name: str
    path: str
    layout: PageLayout
    paginator: PageNumber = HAS_NEXT_PAGE


@dataclass(frozen=True, slots=True)
class ListPage:
    """`size` is that of the page on the wire."""

    decoded: DecodedPage
    size: int

    @property
    def count(self) -> int:
        """Rows, good or bad."""
        good: int = self.decoded.rows.num_rows
        return good + len(self.decoded.rejects)

    @property
    def envelope(self) -> Mapping[str, Any]:
        return self.decoded.envelope


def build_range(window: Window, page_size: int) -> Params:
    """Both ends are inside, so that a day ends with its last millisecond."""
    return (
        ("startDate", _milliseconds(midnight(window.start))),
        ("endDate", _milliseconds(midnight(window.end) - _MILLISECOND)),
        ("page", "1"),
        ("pageSize", str(page_size)),
    )


def _milliseconds(moment: datetime) -> str:
    return str((moment - _EPOCH) // _MILLISECOND)


async def read_pages(
    client: ProviderClient, posted: PostedList, params: Params, window: Window
) -> AsyncIterator[ListPage]:
    """Every page.

    Raises:
        ProviderMisbehaved: pagination_loop: an empty page promises another one.
    """
    pages = client.pages(
        posted.path,
        params,
        posted.paginator,
        stream=f"{PROVIDER}.{posted.name}",
        window=f"{window.start}_{window.end}",
        body=_build_body,
    )
    async for page in pages:
        decoded = await asyncio.to_thread(decode_page, page.body, posted.layout)
        found = ListPage(decoded, len(page.body))
        if not found.count and posted.paginator.next(page.params, page.envelope) is not None:
            raise ProviderMisbehaved(f"{posted.path}: an empty page promises another one", code="pagination_loop")
        yield found


def _build_body(params: Params) -> dict[str, int | str]:
    return {name: int(value) if value.isdecimal() else value for name, value in params}


def collect_rejects(
    pages: Sequence[ListPage], window: Window, read_day: Callable[[Mapping[str, Any]], date]
) -> list[Rejected]:
    """Bad rows with their days, as far as `read_day` can tell them; else on the first of the window."""
    return [
        Rejected(_find_day(reject, window, read_day), reject.reason, reject.error_path, reject.raw_json)
        for page in pages
        for reject in page.decoded.rejects
    ]


def _find_day(reject: Reject, window: Window, read_day: Callable[[Mapping[str, Any]], date]) -> date:
    try:
        day = read_day(loads(reject.raw_json))
    except (ValueError, TypeError, KeyError, OverflowError, OSError):
        return window.start
    return day if day in window else window.start


def arrange(batches: Sequence[pa.RecordBatch], schema: TableSchema, **columns: Any) -> pa.Table:
    """Rows in the table's columns, without lineage. `columns` are arrays, or values that all rows share."""
    import pyarrow as pa

    from convergence.warehouse.arrow import build_arrow_schema

    wanted = build_arrow_schema(schema)
    target = pa.schema([wanted.field(column.name) for column in schema.measures_and_dimensions])
    rows = pa.Table.from_batches(batches)
    known = {name: rows[name] for name in rows.column_names} | columns
    return pa.table([_fill(known.get(name), rows.num_rows, target.field(name).type) for name in target.names], target)


def _fill(values: Any, count: int, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    import pyarrow as pa

    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values.cast(kind)
    return pa.repeat(pa.scalar(values, kind), count)
