"""The provider refuses the key in the middle of a run."""

import asyncio

from convergence.pipelines.models import RunStatus
from convergence.simulator import FaultRule

from .lab import KEYS, TABLES, days

WINDOW = days(8)
MOST_REFUSALS = 6  # three steps are under way, each with at most two requests in flight


async def test_a_revoked_key_ends_its_own_run_at_once_and_no_other(lab):
    lab.stage(days=8)
    async with lab.open() as bench:
        await bench.run(WINDOW)
        before = await bench.content()
        journal = lab.simulator.simulator.journal
        journal.clear()
        rule = FaultRule(kind="status", status=401, code="invalid_api_key", key=KEYS["acme"], skip=6)
        lab.simulator.simulator.faults.add(rule)
        failed, other = await asyncio.gather(bench.run(WINDOW), bench.run(WINDOW, org="globex"))
        refused = [entry for entry in journal.entries() if entry.status == 401]
        after = await bench.content()
        lab.simulator.simulator.faults.clear()
        await bench.check_truth(WINDOW, org="globex")
        await bench.check_truth(WINDOW)
    assert (failed.status, failed.error_code) == (RunStatus.FAILED, "credential_invalid")
    assert "Set the integration up again" in failed.error_message
    assert other.status is RunStatus.COMPLETED
    assert 1 <= len(refused) <= MOST_REFUSALS
    assert [after[table] for table in TABLES] == [before[table] for table in TABLES]
