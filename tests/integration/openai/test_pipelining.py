"""One window is published while the next is read; a window that fails takes none of the others with it."""

from __future__ import annotations

import pytest
from step_bench import TODAY, last_days

from convergence.errors import ProviderRejected
from convergence.simulator import FaultRule

COMPLETIONS = {"endpoints": ["completions"]}


async def test_days_read_before_a_window_that_fails_stay(bench):
    bench.simulator.faults.add(FaultRule(kind="status", status=403, path="*/usage/completions", skip=1))
    with pytest.raises(ProviderRejected):
        await bench.run("openai.usage", last_days(5), config=COMPLETIONS)
    rows = await bench.rows("SELECT DISTINCT usage_date FROM openai_usage_daily_raw")
    assert [row["usage_date"] for row in rows] == [last_days(1).start]
    assert last_days(1).end == TODAY
