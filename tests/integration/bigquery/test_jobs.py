"""Jobs against a server that loses replies, drops connections and fails jobs: each effect happens once."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fake_bigquery import FakeBigQuery, Fault, cut_reply, failing, faking, lost_reply, refused, reset, running, unseen
from google.cloud import bigquery

from convergence.errors import QueryRejected, StatementFailed, WarehouseBusy
from convergence.kit.clock import ManualClock
from convergence.warehouse.bigquery.jobs import Jobs, build_job_id

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = bigquery.TableReference.from_string("fake-project.costs.usage$20260102")
SCHEMA = [bigquery.SchemaField("tokens", "INT64")]
SERIALIZE = "Could not serialize access to table p:d.t due to concurrent update"
ABORTED = "Transaction is aborted due to concurrent update against table p:d.t"
OUTSTANDING = "Resources exceeded: Too many DML statements outstanding against table p:d.t, limit is 20."


@pytest.fixture
def fake() -> Iterator[FakeBigQuery]:
    with faking() as made:
        yield made


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def open_jobs(fake: FakeBigQuery, clock: ManualClock) -> Iterator[Callable[[], Jobs]]:
    """Each call is another process over the same BigQuery."""
    with contextlib.ExitStack() as stack:

        def open_one() -> Jobs:
            client = stack.enter_context(contextlib.closing(fake.client()))
            made = Jobs(client, location="US", attempts=6, clock=clock, chance=lambda: 1.0)
            stack.callback(made.close)
            return made

        yield open_one


@pytest.fixture
def jobs(open_jobs: Callable[[], Jobs]) -> Jobs:
    return open_jobs()


async def publish(jobs: Jobs, key: str = "load-1", **options) -> bigquery.QueryJob:
    return await jobs.script("BEGIN; COMMIT;", key=key, **options)


class Ledger:
    """What an effect leaves behind, asked by whoever lost a reply."""

    def __init__(self, *, landed: bool) -> None:
        self.landed = landed
        self.asked = 0

    async def __call__(self) -> bool:
        self.asked += 1
        return self.landed


async def test_a_statement_runs_once(fake, jobs):
    job = await jobs.query("SELECT 1", key="a")

    assert fake.effects == ["SELECT 1"]
    assert job.job_id == build_job_id("query", "a", 1)
    assert jobs.started == Counter(query=1)


async def test_statements_without_a_key_are_all_different(fake, jobs):
    await jobs.query("SELECT 1")
    await jobs.query("SELECT 1")

    assert fake.effects == ["SELECT 1", "SELECT 1"]


async def test_the_same_key_in_another_process_finds_the_job(fake, open_jobs):
    await publish(open_jobs())
    second = open_jobs()
    job = await publish(second)

    assert fake.effects == ["BEGIN; COMMIT;"]
    assert (job.state, second.started) == ("DONE", Counter())


LOST = {
    "the reply is an error": [lost_reply()],
    "the reply is cut off": [cut_reply()],
    "the request never arrives": [reset()],
    "the request never arrives, then the reply is lost": [reset(), lost_reply()],
    "the rate limit refuses it": [refused(403, "rateLimitExceeded", "too fast")],
    "too many requests": [refused(429, "", "slow down")],
    "nobody is at home": [refused(502, "", "bad gateway"), refused(503, "backendError", "x")],
}


@pytest.mark.parametrize("faults", LOST.values(), ids=LOST.keys())
async def test_a_start_whose_reply_is_lost_runs_once(fake, jobs, faults):
    fake.fail("insert", *faults)
    await publish(jobs)

    assert fake.effects == ["BEGIN; COMMIT;"]
    assert fake.ids() == [build_job_id("script", "load-1", 1)]
    assert jobs.started == Counter(script=1)


async def test_a_job_that_exists_may_not_be_found_at_once(fake, jobs):
    fake.fail("insert", lost_reply())
    fake.fail("get", unseen(), unseen(), unseen())
    await publish(jobs)

    assert fake.effects == ["BEGIN; COMMIT;"]
    assert fake.verbs() == ["insert", "insert", "get", "get", "get", "get"]


async def test_a_job_that_stays_unseen_is_not_started_again(fake, jobs, clock):
    fake.fail("insert", lost_reply())
    fake.fail("get", *[unseen()] * 50)

    with pytest.raises(WarehouseBusy, match="cannot be seen"):
        await publish(jobs)
    assert fake.effects == ["BEGIN; COMMIT;"]
    assert clock.now() - START < timedelta(minutes=5)


async def test_nobody_answers(fake, jobs):
    fake.fail("insert", *[reset()] * 20)

    with pytest.raises(WarehouseBusy) as caught:
        await publish(jobs)
    assert (caught.value.code, len(fake.requests), fake.effects) == ("warehouse_unavailable", 10, [])


async def test_nobody_answers_but_it_has_landed(fake, jobs):
    fake.fail("insert", *[reset()] * 20)
    job = await publish(jobs, landed=Ledger(landed=True))

    assert (job.job_id, job.state) == (build_job_id("script", "load-1", 1), None)


PASSING = {
    "jobBackendError": ("jobBackendError", "retry"),
    "backendError": ("backendError", "retry"),
    "jobInternalError": ("jobInternalError", "retry"),
    "jobRateLimitExceeded": ("jobRateLimitExceeded", "slow"),
    "table updates": ("rateLimitExceeded", "Exceeded rate limits: too many table update operations"),
    "serialize": ("invalidQuery", SERIALIZE),
    "aborted": ("invalidQuery", ABORTED),
    "outstanding": ("resourcesExceeded", OUTSTANDING),
}


@pytest.mark.parametrize("failure", PASSING.values(), ids=PASSING.keys())
async def test_a_job_that_failed_for_a_passing_reason_gets_a_new_id(fake, jobs, failure):
    fake.fail("insert", failing(*failure))
    job = await publish(jobs)

    assert fake.effects == ["BEGIN; COMMIT;"]
    assert fake.ids() == [build_job_id("script", "load-1", 1), build_job_id("script", "load-1", 2)]
    assert job.job_id == build_job_id("script", "load-1", 2)


async def test_a_conflict_that_refuses_the_start_gets_a_new_id(fake, jobs):
    fake.fail("insert", refused(400, "invalidQuery", SERIALIZE))
    await publish(jobs)

    assert fake.ids() == [build_job_id("script", "load-1", 2)]


async def test_what_landed_is_not_done_again(fake, jobs):
    ledger = Ledger(landed=True)
    fake.fail("insert", failing("jobInternalError", "lost after the commit", runs=True))
    job = await publish(jobs, landed=ledger)

    assert fake.effects == ["BEGIN; COMMIT;"]
    assert (job.job_id, ledger.asked) == (build_job_id("script", "load-1", 1), 1)


async def test_what_did_not_land_is_done_again(fake, jobs):
    ledger = Ledger(landed=False)
    fake.fail("insert", failing("jobBackendError", "x"), failing("invalidQuery", SERIALIZE))
    await publish(jobs, landed=ledger)

    assert (fake.effects, ledger.asked, jobs.started["script"]) == (["BEGIN; COMMIT;"], 2, 3)


async def test_waits_grow_and_end_after_six_attempts(fake, jobs, clock):
    fake.fail("insert", *[failing("invalidQuery", SERIALIZE)] * 20)

    with pytest.raises(WarehouseBusy, match="serialize"):
        await publish(jobs)
    assert len(fake.jobs) == 6
    assert clock.now() - START == timedelta(seconds=1 + 2 + 4 + 8 + 16)


async def test_a_job_that_failed_before_is_repeated_when_somebody_asks_again(fake, open_jobs):
    fake.fail(
        "insert", failing("accessDenied", "Access Denied: Table p:d.t: Permission bigquery.tables.getData denied")
    )
    with pytest.raises(StatementFailed):
        await publish(open_jobs())

    await publish(open_jobs())

    assert fake.effects == ["BEGIN; COMMIT;"]
    assert fake.ids() == [build_job_id("script", "load-1", 1), build_job_id("script", "load-1", 2)]


async def test_attempts_of_others_do_not_use_up_ours(fake, open_jobs):
    fake.fail("insert", *[failing("jobBackendError", "x")] * 6)
    with pytest.raises(WarehouseBusy):
        await publish(open_jobs())

    job = await publish(open_jobs())

    assert job.job_id == build_job_id("script", "load-1", 7)


PERMANENT = {
    "a faulty statement": failing("invalidQuery", "Syntax error: Unexpected end of script"),
    "a fence": failing("invalidQuery", "FENCED at [6:3]"),
    "resources": failing("resourcesExceeded", "Resources exceeded during query execution"),
    "permission": refused(403, "accessDenied", "User does not have bigquery.jobs.create permission in project p."),
    "no dataset": refused(404, "notFound", "Not found: Dataset p:d was not found in location US"),
    "no token": refused(401, "authError", "Invalid Credentials"),
}


@pytest.mark.parametrize("fault", PERMANENT.values(), ids=PERMANENT.keys())
async def test_what_waiting_cannot_cure_is_asked_once(fake, jobs, clock, fault):
    fake.fail("insert", fault)

    with pytest.raises(StatementFailed):
        await publish(jobs, landed=Ledger(landed=True))
    assert (fake.verbs(), clock.now()) == (["insert"], START)


@pytest.mark.parametrize("as_job", [True, False])
async def test_a_quota_of_the_day_is_not_asked_for_again(fake, jobs, as_job):
    text = "Quota exceeded: Your project exceeded quota for load jobs"
    fake.fail("insert", failing("quotaExceeded", text) if as_job else refused(403, "quotaExceeded", text))

    with pytest.raises(WarehouseBusy) as caught:
        await publish(jobs)
    assert (caught.value.code, caught.value.retry_after, fake.verbs()) == ("warehouse_quota", 3600, ["insert"])


async def test_a_job_is_waited_for(fake, jobs, clock):
    fake.fail("insert", Fault(state="RUNNING", runs=True))
    fake.fail("get", running(), reset(), refused(503, "backendError", "x"), unseen())
    task = asyncio.create_task(jobs.query("SELECT 1", key="a"))
    while len(fake.requests) < 6:
        await asyncio.sleep(0.001)
    fake.jobs[build_job_id("query", "a", 1)]["status"]["state"] = "DONE"

    assert (await task).state == "DONE"
    assert fake.effects == ["SELECT 1"]


async def test_a_job_over_its_time_is_cancelled(fake, jobs, clock):
    fake.fail("insert", Fault(state="RUNNING", runs=True))

    with pytest.raises(StatementFailed) as caught:
        await jobs.query("SELECT 1", timeout=timedelta(seconds=5))
    assert caught.value.code == "statement_timeout"
    assert "cancel" in fake.verbs()
    assert next(iter(fake.jobs.values()))["configuration"]["jobTimeoutMs"] == "5000"


async def test_a_statement_of_a_cancelled_call_is_cancelled(fake, jobs):
    fake.fail("insert", Fault(state="RUNNING", runs=True))
    task = asyncio.create_task(jobs.query("SELECT 1"))
    while "get" not in fake.verbs():
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    while "cancel" not in fake.verbs():
        await asyncio.sleep(0.001)


async def test_a_destination_is_replaced(jobs):
    copy = bigquery.TableReference.from_string("fake-project.costs.copy")
    job = await jobs.query("SELECT 1", destination=copy)

    assert (job.destination, job.write_disposition) == (copy, "WRITE_TRUNCATE")


async def test_too_many_bytes_are_refused(fake, jobs):
    fake.bytes_processed = 2_000_000

    with pytest.raises(QueryRejected) as caught:
        await jobs.query("SELECT * FROM t", max_bytes=1_000_000)
    assert (caught.value.code, fake.effects) == ("query_too_large", [])


async def test_a_dry_run_tells_what_would_be_read(fake, jobs):
    fake.referenced_tables = ("fake-project.acme.usage", "fake-project.other.secret")
    fake.bytes_processed = 123
    fake.fail("insert", reset(), refused(503, "backendError", "x"))
    job = await jobs.dry_run("SELECT * FROM usage")

    assert (job.statement_type, job.total_bytes_processed) == ("SELECT", 123)
    assert [str(table) for table in job.referenced_tables] == list(map(str, fake.referenced_tables))
    assert (fake.effects, jobs.started) == ([], Counter())


async def load(jobs: Jobs, parquet) -> bigquery.LoadJob:
    return await jobs.load(
        parquet,
        DAY,
        key="day-2",
        schema=SCHEMA,
        write_disposition="WRITE_TRUNCATE",
        labels={"Org": "Acme GmbH"},
        partitioning=bigquery.TimePartitioning(field="usage_date"),
        clustering=["provider"],
    )


@pytest.mark.parametrize("size", [100, 11 * 2**20], ids=["one request", "many requests"])
@pytest.mark.parametrize("faults", [[], [lost_reply()], [cut_reply()], [reset()]], ids=["whole", "503", "cut", "reset"])
async def test_a_file_is_loaded_once(fake, jobs, tmp_path, size, faults):
    file = tmp_path / "day.parquet"
    file.write_bytes(bytes(size))
    fake.fail("insert", *faults)
    job = await load(jobs, file)

    assert fake.effects == ["usage$20260102"]
    assert job.job_id == build_job_id("load", "day-2", 1)
    assert set(fake.uploaded) == {size}


async def test_an_open_file_is_read_from_its_start_each_time(fake, jobs):
    file = io.BytesIO(bytes(100))
    file.read()
    fake.fail("insert", reset(), failing("backendError", "x"))
    job = await load(jobs, file)

    assert fake.uploaded == [100, 100, 100]
    assert job.job_id == build_job_id("load", "day-2", 2)


async def test_what_a_load_asks_for(fake, jobs, tmp_path: Path):
    file = tmp_path / "day.parquet"
    file.write_bytes(b"x")
    asked = (await load(jobs, file)).to_api_repr()["configuration"]

    assert asked["labels"] == {"org": "acme-gmbh"}
    assert asked["load"]["writeDisposition"] == "WRITE_TRUNCATE"
    assert asked["load"]["decimalTargetTypes"] == ["NUMERIC", "BIGNUMERIC"]
    assert asked["load"]["timePartitioning"] == {"type": "DAY", "field": "usage_date"}
    assert asked["load"]["clustering"] == {"fields": ["provider"]}


async def test_other_requests_are_repeated_and_translated(fake, jobs):
    fake.fail("get", reset(), refused(500, "internalError", "x"), refused(404, "notFound", "Not found: Table p:d.t"))
    with contextlib.closing(fake.client()) as client, pytest.raises(StatementFailed) as caught:
        await jobs.call(lambda: client.get_job("a", retry=None))

    assert (caught.value.code, len(fake.requests)) == ("warehouse_not_found", 3)
