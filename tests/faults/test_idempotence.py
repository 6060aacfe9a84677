"""The same days twice."""

from convergence.pipelines.models import RunStatus

from .lab import TABLES, days

WINDOW = days(30)


async def test_thirty_days_again_rewrite_no_row(lab):
    async with lab.open() as bench:
        first = await bench.run(WINDOW)
        before = {table: rows for table, rows in (await bench.content()).items() if table in TABLES}
        second = await bench.run(WINDOW)
        after = {table: rows for table, rows in (await bench.content()).items() if table in TABLES}
        outcomes = await bench.rows(
            "SELECT DISTINCT outcome FROM _load_ledger WHERE run_id = @run_id AND stream LIKE 'openai.%'"
            " AND day > DATE '0001-01-01'",
            run_id=second.run_id,
        )
        await bench.check_truth(WINDOW)
    assert (first.status, second.status) == (RunStatus.COMPLETED, RunStatus.COMPLETED)
    assert after == before
    assert outcomes == [{"outcome": "unchanged"}]
