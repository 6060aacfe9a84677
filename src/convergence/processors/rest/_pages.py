"""All rows of a declared list, a window at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from convergence.connectors import Page, Params, ProviderClient, decode_page
from convergence.kit.window import Window
from convergence.processors.rest._columns import RowMapping
from convergence.processors.rest._paging import Counted, Numbered, Paging
from convergence.processors.rest._request import Asked, Request
from convergence.steps import StepContext
from convergence.steps.loading import Fetched, Rejected
from convergence.steps.reports import collapse_repeats

if TYPE_CHECKING:
    import pyarrow as pa

Body = Callable[[Params], Mapping[str, Any]] | Mapping[str, Any] | None


class DeclaredList:
    """The rows of a window from all of its pages. `bytes_read` is the size of the last window on the wire."""

    def __init__(
        self,
        context: StepContext,
        client: ProviderClient,
        request: Request,
        paging: Paging,
        mapping: RowMapping,
        *,
        stream: str,
        keys: Sequence[str],
        max_pages: int,
    ) -> None:
        self._client = client
        self._request = request
        self._paging = paging
        self._mapping = mapping
        self._max_pages = max_pages
        self._run = _name_run(context)
        self._unknown: frozenset[str] = frozenset()
        self.keys = tuple(keys)
        self.stream = stream
        self.schema = mapping.schema
        self.names_days = request.names_days
        self.bytes_read = 0

    @property
    def metadata(self) -> dict[str, object]:
        """Members of rows that no column takes, for whoever looks for more."""
        return {"fields_not_mapped": sorted(self._unknown)} if self._unknown else {}

    async def read(self, window: Window, /) -> Fetched:
        import pyarrow as pa

        self.bytes_read = 0
        tables, rejects = [self._mapping.target().empty_table()], list[Rejected]()
        async for page in self._pages(window):
            decoded = await asyncio.to_thread(decode_page, page.body, self._mapping.layout)
            tables.append(self._mapping.fit(decoded.rows))
            rejects += [self._mapping.reject(refused, window) for refused in decoded.rejects]
            self._unknown |= decoded.unknown_fields
            self.bytes_read += len(page.body)
        return Fetched(window, self.collapse(pa.concat_tables(tables)), rejects)

    def collapse(self, rows: pa.Table) -> pa.Table:
        """Each row once, where there are keys to tell.

        Raises:
            ProviderMisbehaved: duplicate_rows: the same keys with other figures.
        """
        return collapse_repeats(rows, self.keys, f"rows of {self.stream}") if self.keys else rows

    def _pages(self, window: Window) -> AsyncIterator[Page]:
        asked = self._request.build(window, self._run)
        is_posted = self._paging.is_posted
        return self._client.pages(
            asked.path,
            () if is_posted else asked.params,
            self._paging.build(self._mapping.layout.lists[0]),
            stream=self.stream,
            window=f"{window.start}_{window.end}",
            path_values=asked.path_values,
            max_pages=self._max_pages,
            body=self._build_body(asked),
            query=asked.params if is_posted else (),
        )

    def _build_body(self, asked: Asked) -> Body:
        """A page that is counted is a number in a body."""
        if asked.body is None or not self._paging.is_posted:
            return asked.body
        fixed, is_number = asked.body, isinstance(self._paging, Numbered | Counted)
        return lambda wanted: {**fixed, **{name: int(value) if is_number else value for name, value in wanted}}


def _name_run(context: StepContext) -> dict[str, Any]:
    """What templates of a request may name beside its days."""
    return {
        "org_slug": context.tenant.org_slug,
        "pipeline_id": context.run.pipeline_id,
        "run_id": context.run.run_id,
        "environment": context.platform.environment,
        **{f"parameters.{name}": value for name, value in context.parameters.items()},
    }
