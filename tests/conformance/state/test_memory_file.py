"""What only the embedded store with a file promises."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from convergence.errors import StoreUnavailable
from convergence.kit.clock import ManualClock
from convergence.state.group_commit import GroupCommit
from convergence.state.journal import Journal, Record
from convergence.state.memory import MemoryStateStore

MINUTE = timedelta(minutes=1)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)

WRITER = """
import asyncio, sys
from datetime import timedelta
from pathlib import Path
from convergence.state.memory import MemoryStateStore

async def write(store, name):
    while True:
        total = await store.count(f"counter/{name}", 1)
        entry = await store.get(f"value/{name}")
        version = await store.compare_and_set(f"value/{name}", entry.version if entry else None, str(total).encode())
        lease = await store.acquire(f"lease/{name}", f"{total}", timedelta(seconds=60))
        await store.release(lease)
        sys.stdout.write(f"{name} {total} {version} {lease.fence}\\n")
        sys.stdout.flush()

async def main():
    store = MemoryStateStore(Path(sys.argv[1]))
    await asyncio.gather(*(write(store, name) for name in range(8)))

asyncio.run(main())
"""

FULL_DISK = """
import asyncio, json, os, resource, sys
from pathlib import Path
from convergence.errors import StoreUnavailable
from convergence.state.memory import MemoryStateStore

async def main():
    store = MemoryStateStore(Path(sys.argv[1]))
    kept = await store.compare_and_set("kept", None, b"before")
    await store.count("kept", 1)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    writes = (store.compare_and_set(f"lost/{n}", None, os.urandom(100_000)) for n in range(20))
    outcomes = await asyncio.gather(
        *writes, store.compare_and_set("kept", kept, b"after"), store.count("kept", 1), return_exceptions=True
    )
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    report = {
        "refused": sum(isinstance(outcome, StoreUnavailable) for outcome in outcomes),
        "of": len(outcomes),
        "lost": len([entry async for entry in store.scan("lost/")]),
        "kept": (await store.get("kept")).value.decode(),
        "counter": await store.count("kept", 0),
        "again": await store.count("kept", 1),
    }
    await store.close()
    sys.stdout.write(json.dumps(report))

asyncio.run(main())
"""


async def test_a_lease_ends_with_the_process_that_held_it(tmp_path):
    before = MemoryStateStore(tmp_path / "state.duckdb")
    held = await before.acquire("acme/run/1", "worker-a", timedelta(days=1))
    await before.close()

    after = MemoryStateStore(tmp_path / "state.duckdb")
    taken = await after.acquire("acme/run/1", "worker-b", MINUTE)
    renewed = await after.renew(held, MINUTE)
    await after.close()

    assert taken.fence > held.fence
    assert renewed is False


async def test_a_second_owner_is_told_who_holds_the_file(tmp_path):
    first = MemoryStateStore(tmp_path / "state.duckdb")
    await first.ping()
    second = MemoryStateStore(tmp_path / "state.duckdb")

    with pytest.raises(StoreUnavailable, match=rf"held by another process \(pid {os.getpid()}\)") as refused:
        await second.ping()
    await first.close()

    assert refused.value.code == "store_locked"
    assert "--server" in (refused.value.hint or "")
    await second.ping()  # the file is free now
    await second.close()


async def test_a_damaged_file_names_itself_and_what_to_do(tmp_path):
    path = tmp_path / "state.duckdb"
    path.write_bytes(b"not a database" * 1000)
    store = MemoryStateStore(path)

    with pytest.raises(StoreUnavailable, match=r"state\.duckdb cannot be read") as refused:
        await store.get("acme/x")
    await store.close()

    assert "move it" in (refused.value.hint or "")


async def test_a_cancelled_writer_does_not_fail_its_neighbours(tmp_path):
    store = MemoryStateStore(tmp_path / "state.duckdb")
    await store.ping()
    doomed = asyncio.create_task(store.count("acme/slots", 1))
    neighbours = [asyncio.create_task(store.count("acme/slots", 1)) for _ in range(5)]
    await asyncio.sleep(0)
    doomed.cancel()

    totals = await asyncio.gather(*neighbours)
    await store.close()

    assert totals == [2, 3, 4, 5, 6]
    assert doomed.cancelled()


def test_what_was_acknowledged_survives_kill_9(tmp_path):
    """Six kills of eight concurrent writers at seeded moments; every acknowledged write is there each time."""
    moments = random.Random(20261120)
    path = tmp_path / "state.duckdb"
    acknowledged: dict[str, tuple[int, int, int]] = {}
    for _ in range(6):
        for line in _write_until_killed(path, moments.uniform(0.05, 0.6)):
            name, *numbers = line.split()
            acknowledged[name] = tuple(map(int, numbers))
        found, fence = asyncio.run(_read(path))
        for name, (total, version, last_fence) in acknowledged.items():
            counter, value, current = found[name]
            assert counter >= total
            assert value >= total
            assert current >= version
            assert fence > last_fence
    assert len(acknowledged) == 8


def _write_until_killed(path: Path, seconds: float) -> list[str]:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        first = writer.stdout.readline()  # it is under way
        time.sleep(seconds)
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read()
    return [line for line in (first + rest).splitlines(keepends=False) if line.count(" ") == 3]


async def _read(path: Path) -> tuple[dict[str, tuple[int, int, int]], int]:
    store = MemoryStateStore(path)
    found = {}
    async for entry in store.scan("value/"):
        name = entry.key.removeprefix("value/")
        found[name] = (await store.count(f"counter/{name}", 0), int(entry.value), entry.version)
    fence = (await store.acquire("lease/reader", "reader", MINUTE)).fence
    await store.close()
    return found, fence


def test_a_full_disk_refuses_undoes_and_recovers(tmp_path):
    path = tmp_path / "state.duckdb"

    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True)

    report = json.loads(done.stdout)
    assert report == {"refused": 22, "of": 22, "lost": 0, "kept": "before", "counter": 1, "again": 2}
    assert asyncio.run(_count(path, "kept")) == 2


async def _count(path: Path, key: str) -> int:
    store = MemoryStateStore(path)
    total = await store.count(key, 0)
    await store.close()
    return total


async def test_concurrent_writers_share_commits():
    batches: list[int] = []

    async def append(records: Sequence[Record]) -> None:
        batches.append(len(records))
        await asyncio.sleep(0.001)

    commits = GroupCommit(append)
    records = [Record(n, "counter", f"k{n}", None, n, None) for n in range(2_000)]
    await asyncio.gather(*(commits.commit(record, lambda: None) for record in records))

    assert sum(batches) == 2_000
    assert len(batches) <= 2


async def test_a_failed_commit_undoes_what_was_built_on_it_newest_first():
    undone: list[int] = []
    failures = [StoreUnavailable("disk full")]

    async def append(_records: Sequence[Record]) -> None:
        await asyncio.sleep(0.001)
        if failures:
            raise failures.pop()

    commits = GroupCommit(append)
    records = [Record(n, "counter", "k", None, n, None) for n in range(4)]
    early = [
        asyncio.ensure_future(commits.commit(record, partial(undone.append, record.seq))) for record in records[:2]
    ]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    late = [asyncio.ensure_future(commits.commit(record, partial(undone.append, record.seq))) for record in records[2:]]
    outcomes = await asyncio.gather(*early, *late, return_exceptions=True)
    await commits.commit(records[0], partial(undone.append, -1))

    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 4
    assert undone == [3, 2, 1, 0]


async def test_what_expired_is_swept_from_memory(tmp_path):
    clock = ManualClock(NOON)
    store = MemoryStateStore(tmp_path / "state.duckdb", clock=clock)
    for n in range(100):
        await store.compare_and_set(f"acme/idempotency/{n}", None, b"x", ttl=MINUTE)
    clock.advance(2 * MINUTE)

    await store.count("acme/slots", 1)

    assert len(store._tables["value"]) == 0
    await store.close()


def test_compaction_keeps_the_newest_live_records_and_the_sequence(tmp_path):
    path = tmp_path / "state.duckdb"
    journal = Journal(path, compact_after=100)
    journal.open()
    for seq in range(1, 202):
        journal.append([Record(seq, "counter", f"k{seq % 4}", None, seq, None)], NOON)
    journal.append([Record(300, "value", "brief", b"x", 300, NOON)], NOON)
    journal.append([Record(301, "value", "dead", None, None, None)], NOON)
    for seq in range(302, 420):
        journal.append([Record(seq, "fence", "", None, seq, None)], NOON + MINUTE)
    journal.append([Record(420, "value", "dead", None, None, None)], NOON + MINUTE)
    journal.close()

    records = Journal(path, compact_after=100)
    found = records.open()
    appended = records._appended
    records.close()

    live = {(record.kind, record.key): record.number for record in found if record.is_live(NOON + MINUTE)}
    assert live == {
        ("counter", "k0"): 200,
        ("counter", "k1"): 201,
        ("counter", "k2"): 198,
        ("counter", "k3"): 199,
        ("fence", ""): 419,
    }
    assert max(record.seq for record in found) == 420
    assert appended <= 101  # of 322


def test_the_file_stays_small_under_rewrites(tmp_path):
    path = tmp_path / "state.duckdb"
    journal = Journal(path, compact_after=2_000)
    journal.open()
    for start in range(0, 40_000, 500):
        journal.append([Record(start + n, "value", f"k{n}", b"v" * 200, start + n, None) for n in range(500)], NOON)
    journal.close()

    assert path.stat().st_size < 8 * 2**20
