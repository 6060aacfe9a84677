"""Answers that are no data: refused by name, in bounded memory, and what is committed stays."""

import contextlib
from pathlib import Path

import httpx2
import pytest

from convergence.pipelines.models import RunStatus
from convergence.simulator import SimulatorProcess

from .lab import KEYS, SEED, TABLES, days

WINDOW = days(2)
MOST_GROWTH_KIB = 150 * 1024
REFUSALS = {
    "html": "content_type_unexpected",
    "redirect": "redirect_refused",
    "gzip_bomb": "page_too_large",
    "huge_body": "page_too_large",
    "deep_json": "page_nested_too_deeply",
}


@pytest.fixture(scope="module")
def provider():
    """A process of its own, so that what it allocates is not counted."""
    key = ["--key", KEYS["acme"], "--seed", str(SEED), "--days", "2", "--end-day", str(WINDOW.end)]
    with SimulatorProcess([*key, "--rows-per-day", "20", "--steady"]) as process:
        yield process


@pytest.mark.parametrize("kind", REFUSALS)
async def test_a_hostile_answer_is_refused_in_bounded_memory(lab, provider, kind):
    lab.simulator = provider
    async with lab.open() as bench:
        await bench.run(WINDOW)
        before = await bench.content()
        _make_fail(provider, kind)
        growth = _peak_growth_kib()
        failed = await bench.run(WINDOW)
        grown = next(growth)
        after = await bench.content()
        _make_well(provider)
        healed = await bench.run(WINDOW)
        again = await bench.content()
    assert (failed.status, failed.error_code) == (RunStatus.FAILED, REFUSALS[kind])
    assert grown < MOST_GROWTH_KIB
    assert [after[table] for table in TABLES] == [before[table] for table in TABLES]
    assert healed.status is RunStatus.COMPLETED
    assert [again[table] for table in TABLES] == [before[table] for table in TABLES]


def _make_fail(provider, kind):
    rules = [{"kind": kind, "path": "/organization/usage/*"}, {"kind": kind, "path": "/organization/costs"}]
    httpx2.post(f"{provider.url}/_simulator/faults", json=rules, trust_env=False).raise_for_status()


def _make_well(provider):
    httpx2.post(f"{provider.url}/_simulator/reset", trust_env=False).raise_for_status()


def _peak_growth_kib():
    """How far the resident memory has risen, at its highest, since this was called."""
    start = _status("VmRSS")
    with contextlib.suppress(OSError):  # without the right to reset it, the peak is the process's own
        Path("/proc/self/clear_refs").write_text("5")
    return iter(lambda: _status("VmHWM") - start, None)


def _status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])
