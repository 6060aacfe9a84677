"""One call in five goes wrong, each in another way: a backfill still ends with the provider's rows and cents."""

from collections import Counter

import pytest

from convergence.pipelines.models import RunStatus
from convergence.simulator import FaultRule

from .lab import KEYS, days

WINDOW = days(30)
PAUSE_SECONDS = 1.0  # at least, by every Retry-After below
CHAOS = (
    {"kind": "status", "status": 429, "retry_after": 1},
    {"kind": "status", "status": 429, "retry_after": 2, "retry_after_as_date": True},  # a date has whole seconds
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 503},
    {"kind": "status", "status": 529},
    {"kind": "reset"},
    {"kind": "reset_mid_body"},
    {"kind": "truncated"},
    {"kind": "wrong_length"},
    {"kind": "cut_json"},
    {"kind": "html"},
)
UNTIL_THEN = 1  # a request that was out already when the pause began


@pytest.mark.slow
async def test_a_backfill_through_chaos_ends_with_the_truth(lab):
    async with lab.open() as bench:
        journal = lab.simulator.simulator.journal
        calm = await bench.finish_all(await bench.backfill(WINDOW, 10, org="globex"))
        ideal = len(journal.entries())
        journal.clear()
        lab.simulator.simulator.faults.add(*_rules())
        stormy = await bench.finish_all(await bench.backfill(WINDOW, 10))
        entries = journal.entries()
        struck = Counter(entry.fault for entry in entries if entry.fault)
        await bench.check_truth(WINDOW)
        await bench.check_truth(WINDOW, org="globex")
    assert (calm, stormy) == ({RunStatus.COMPLETED: 3}, {RunStatus.COMPLETED: 3})
    assert struck.total() >= ideal / 10
    assert len(struck) >= 4
    assert len(entries) <= 1.6 * ideal
    assert max(_too_early(entries)) <= UNTIL_THEN


def _rules():
    """Two pauses for certain, and anything at any time."""
    pauses = [
        FaultRule(key=KEYS["acme"], count=1, skip=30 * number, **kind) for number, kind in enumerate(CHAOS[:2], 1)
    ]
    return pauses + [FaultRule(key=KEYS["acme"], probability=0.2 / len(CHAOS), **kind) for kind in CHAOS]


def _too_early(entries):
    """For each 429, the requests that came within the pause it asked for."""
    limited = [entry.at for entry in entries if entry.status == 429]
    assert limited
    return [sum(at < entry.at < at + PAUSE_SECONDS for entry in entries) for at in limited]
