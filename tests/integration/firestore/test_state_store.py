"""Firestore between machines: contention, lost answers, refusals. What a store promises is in conformance/state."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import grpc
import pytest
from google_fakes.firestore import FakeFirestore, serving_firestore

from convergence.bootstrap import build_platform
from convergence.errors import StoreUnavailable
from convergence.kit.clock import SystemClock
from convergence.settings import load_settings
from convergence.state.firestore import FirestoreStateStore

MINUTE = timedelta(minutes=1)
DENIED = grpc.StatusCode.PERMISSION_DENIED


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeFirestore]:
    fake = FakeFirestore()
    with serving_firestore(fake) as address:
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", address)
        yield fake


def open_store() -> FirestoreStateStore:
    return FirestoreStateStore("convergence-test", "pipeline_locks")


@pytest.fixture
async def stores(fake: FakeFirestore) -> AsyncIterator[list[FirestoreStateStore]]:
    """Three processes, as far as Firestore can tell."""
    opened = [open_store() for _ in range(3)]
    yield opened
    await asyncio.gather(*(store.close() for store in opened))


@pytest.fixture
def store(stores: list[FirestoreStateStore]) -> FirestoreStateStore:
    return stores[0]


async def test_counts_of_three_processes_lose_none(stores, fake):
    totals = await asyncio.gather(*(stores[n % 3].count("acme/slots", 1, limit=20) for n in range(30)))

    assert sorted(total for total in totals if total is not None) == list(range(1, 21))
    assert fake.calls["Commit"] > 30  # they did meet, and some came again


async def test_fences_of_three_processes_only_grow(stores):
    fences = []
    for n in range(9):
        lease = await stores[n % 3].acquire("acme/run/1", f"worker-{n % 3}", MINUTE)
        fences.append(lease.fence)
        await stores[n % 3].release(lease)

    assert all(earlier < later for earlier, later in pairwise(fences))


async def test_of_three_processes_one_writes_a_version(stores):
    written = await asyncio.gather(*(store.compare_and_set("acme/x", None, b"mine") for store in stores))

    assert sum(version is not None for version in written) == 1


async def test_a_commit_whose_answer_is_lost_is_not_made_twice(store, fake):
    fake.lose_reply()
    assert await store.count("acme/slots", 5) == 5
    fake.lose_reply()
    version = await store.compare_and_set("acme/x", None, b"mine")
    fake.lose_reply()
    lease = await store.acquire("acme/run/1", "worker", MINUTE)

    assert await store.count("acme/slots", 0) == 5
    assert (await store.get("acme/x")).version == version
    assert await store.holder("acme/run/1") == lease


@pytest.mark.parametrize("rpc", ["BeginTransaction", "BatchGetDocuments", "Commit"])
@pytest.mark.parametrize("status", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.ABORTED])
async def test_a_hiccup_is_waited_out(store, fake, rpc, status):
    fake.refuse_next(rpc, status)

    assert await store.count("acme/slots", 1) == 1


async def test_a_missing_permission_names_the_role(store, fake):
    for rpc in ("BeginTransaction", "BatchGetDocuments", "RunQuery"):
        fake.refuse_next(rpc, DENIED, times=10)

    for call in (store.count("a/b", 1), store.get("a/b"), store.ping(), _first(store)):
        with pytest.raises(StoreUnavailable, match="of project convergence-test refuses") as refused:
            await call
        assert refused.value.code == "store_denied"
        assert "roles/datastore.user" in refused.value.hint


async def test_a_database_that_is_not_there_says_how_to_make_it(store, fake):
    fake.refuse_next("BeginTransaction", grpc.StatusCode.NOT_FOUND, "The database (default) does not exist")

    with pytest.raises(StoreUnavailable) as refused:
        await store.acquire("a/b", "worker", MINUTE)

    assert refused.value.code == "store_missing"
    assert "gcloud firestore databases create" in refused.value.hint


async def test_a_store_that_is_always_busy_says_so(store, fake):
    fake.refuse_next("Commit", grpc.StatusCode.ABORTED, "Too much contention", times=1000)

    with pytest.raises(StoreUnavailable, match="others keep changing it") as refused:
        await store.compare_and_set("a/b", None, b"sk-a-secret")

    assert refused.value.code == "store_busy"
    assert "sk-a-secret" not in "".join(traceback.format_exception_only(refused.value))


async def test_a_write_that_fails_leaves_nothing(store, fake):
    fake.refuse_next("Commit", DENIED)
    with pytest.raises(StoreUnavailable):
        await store.compare_and_set("a/b", None, b"x")

    assert await store.get("a/b") is None


async def test_a_wrong_clock_of_ours_changes_nothing(store, fake):
    """The store's time is Firestore's: a day of ours passes there or not at all."""
    fake.now = lambda: datetime(2040, 1, 1, tzinfo=UTC)
    lease = await store.acquire("acme/run/1", "worker-a", MINUTE)
    assert await store.holder("acme/run/1") == lease

    fake.now = lambda: datetime(2040, 1, 1, 0, 1, tzinfo=UTC)

    assert await store.holder("acme/run/1") is None
    assert await store.acquire("acme/run/1", "worker-b", MINUTE) is not None


@pytest.mark.parametrize("key", ["..", ".", "__reserved__", "a/../b", "ключ/✓", "a b%2Fc", "x" * 400, ""])
async def test_any_key_has_a_document(store, key):
    assert await store.compare_and_set(key, None, b"x") is not None
    assert (await store.get(key)).key == key
    assert [entry.key async for entry in store.scan(key)] == [key]


async def test_what_expires_carries_when_firestore_may_delete_it(store, fake):
    await store.compare_and_set("acme/brief", None, b"x", ttl=MINUTE)
    await store.compare_and_set("acme/kept", None, b"x")

    held = {document.fields["key"].string_value: document.fields for document in fake.documents.values()}
    brief = held["acme/brief"]

    assert brief["delete_after"].timestamp_value - brief["expires"].timestamp_value == timedelta(days=1)
    assert "null_value" in held["acme/kept"]["delete_after"]


async def test_two_collections_do_not_meet(fake):
    first, second = open_store(), FirestoreStateStore("convergence-test", "other_locks")
    await first.compare_and_set("acme/x", None, b"x")

    assert await second.get("acme/x") is None
    assert [entry async for entry in second.scan("")] == []
    await asyncio.gather(first.close(), second.close())


async def test_the_platform_keeps_its_state_there(fake, tmp_path):
    settings = load_settings({"DATA_DIR": str(tmp_path), "LOCK_BACKEND": "firestore", "GCP_PROJECT_ID": "p"})
    platform = build_platform(settings, SystemClock())

    await platform.state.count("acme/slots", 1)
    await platform.state.close()

    assert list(fake.documents) == ["projects/p/databases/(default)/documents/pipeline_locks/counter:acme%2Fslots"]


async def _first(store: FirestoreStateStore) -> None:
    async for _ in store.scan(""):
        return
