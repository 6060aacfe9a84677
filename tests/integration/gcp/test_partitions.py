"""Load partitions that come back smaller than they were."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from gcp_bench import CONFIGS, GcpBench, billing_row, open_gcp_bench

from convergence.catalog import Catalog
from convergence.kit.window import Window
from convergence.processors.gcp._billing_rows import build_rows
from convergence.processors.gcp._files import read_file
from convergence.processors.gcp._publishing import Partitions, publish_partitions
from convergence.simulator.gcp import write_ndjson
from convergence.steps.loading import Fetched

WINDOW = Window(date(2026, 11, 16), date(2026, 11, 19))
MONDAY = billing_row(export_time="2026-11-16T16:00:00Z")
TUESDAY = billing_row(export_time="2026-11-17T16:00:00Z")
COUNTS = "SELECT partition_date AS k, COUNT(*) AS amount FROM gcp_billing_daily_raw GROUP BY 1 ORDER BY 1"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[GcpBench]:
    async with open_gcp_bench(tmp_path) as made:
        yield made


async def publish(bench: GcpBench, table: str, rows: Sequence[Mapping[str, Any]]) -> Partitions:
    bench.runs += 1
    schema = Catalog(CONFIGS).schema("gcp_billing_daily_raw")
    path = write_ndjson(rows, bench.folder / "rows.ndjson")
    built = build_rows(read_file(path, path.name, schema), schema, table)
    context = bench.context("gcp-billing", "extract_billing", WINDOW)
    return await publish_partitions(context, Fetched(WINDOW, built.rows, built.rejects), [table])


async def count(bench: GcpBench) -> dict[int, int]:
    return {row["k"].day: row["amount"] for row in await bench.rows(COUNTS)}


async def test_a_partition_that_has_expired_at_its_owners_keeps_its_rows(bench: GcpBench) -> None:
    await publish(bench, "standard", [MONDAY, MONDAY, TUESDAY])

    expired = await publish(bench, "standard", [TUESDAY, TUESDAY])

    assert expired.smaller == {date(2026, 11, 16): (0, 2)}
    assert await count(bench) == {16: 2, 17: 2}


async def test_another_table_of_the_same_account_replaces_it_whatever_its_size(bench: GcpBench) -> None:
    """The standard export has fewer rows of the same money than the detailed one."""
    await publish(bench, "detailed", [MONDAY, MONDAY, TUESDAY])

    changed = await publish(bench, "standard", [MONDAY, TUESDAY])

    assert (changed.smaller, await count(bench)) == ({}, {16: 1, 17: 1})
