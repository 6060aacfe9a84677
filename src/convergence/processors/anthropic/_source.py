"""Windows of one report, as rows of its table."""

from __future__ import annotations

from collections.abc import Sequence

from convergence.connectors import ProviderClient
from convergence.kit.clock import today
from convergence.kit.window import Window
from convergence.steps import StepContext
from convergence.steps.loading import Fetched
from convergence.steps.reports import Report, build_rows, collapse_repeats, read_report


class ReportSource:
    """`dimensions` tell the rows of a table apart."""

    def __init__(
        self, context: StepContext, client: ProviderClient, report: Report, table: str, dimensions: Sequence[str]
    ) -> None:
        self._context = context
        self._client = client
        self._report = report
        self._table = table
        self._dimensions = tuple(dimensions)
        self._unknown: frozenset[str] = frozenset()
        self.bytes_read = 0  # by the last read

    @property
    def warnings(self) -> tuple[str, ...]:
        if not self._unknown:
            return ()
        return (f"Anthropic sends fields that no column takes: {', '.join(sorted(self._unknown))}",)

    async def read(self, window: Window, /) -> Fetched:
        reading = await read_report(self._client, self._report, window)
        self._unknown |= reading.unknown_fields
        self.bytes_read = reading.bytes_read
        schema = self._context.catalog.schema(self._table)
        rows = build_rows([reading], schema, {}, today(self._context.clock))
        return Fetched(window, collapse_repeats(rows, self._dimensions, "Anthropic rows"), reading.rejects)
