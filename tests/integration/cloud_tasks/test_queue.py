"""The real client against Cloud Tasks on loopback: what is created, and what is said when it cannot be."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta

import grpc
import pytest
from google_fakes.tasks import QUEUE, FakeTasks, serving_tasks

from convergence.errors import StoreUnavailable
from convergence.queue import Message, PullQueue, PushQueue
from convergence.queue.cloud_tasks import CloudTasksQueue, Target

URL = "https://worker.example"
ACCOUNT = "tasks@fake.iam.gserviceaccount.com"
MESSAGE = Message("acme", "run_1")


@pytest.fixture
async def fake(issuer) -> AsyncIterator[FakeTasks]:
    tasks = FakeTasks(issuer)
    tasks.is_paused.set()
    with serving_tasks(tasks) as tasks.address:
        yield tasks


@pytest.fixture
async def queue(fake, clock) -> AsyncIterator[CloudTasksQueue]:
    opened = CloudTasksQueue(Target(QUEUE, URL, ACCOUNT, URL), clock=clock, endpoint=fake.address)
    yield opened
    await opened.close()


async def test_it_pushes_and_is_never_asked(queue) -> None:
    assert isinstance(queue, PushQueue)
    assert not isinstance(queue, PullQueue)


async def test_a_task_is_a_signed_request_that_carries_the_hint_alone(queue, fake) -> None:
    await queue.put(Message("acme", "run_1", 2))

    (task,) = fake.created
    request = task.http_request
    assert request.url == "https://worker.example/api/v1/tasks/run"
    assert json.loads(request.body) == {"org_slug": "acme", "run_id": "run_1", "attempt": 2}
    assert dict(request.headers) == {"Content-Type": "application/json"}
    assert (request.oidc_token.service_account_email, request.oidc_token.audience) == (ACCOUNT, URL)
    assert task.dispatch_deadline == timedelta(minutes=30)
    assert queue.patience == timedelta(minutes=29)
    assert "acme" not in task.name


async def test_a_delay_is_a_moment(queue, fake, clock) -> None:
    await queue.put(MESSAGE, delay=timedelta(hours=3))

    assert abs(fake.created[0].schedule_time - clock.now() - timedelta(hours=3)) < timedelta(seconds=1)


async def test_a_delay_beyond_what_cloud_tasks_takes_is_cut(queue, fake) -> None:
    await queue.put(MESSAGE, delay=timedelta(days=90))

    assert len(fake.created) == 1


async def test_the_same_message_is_announced_once(queue, fake) -> None:
    for _ in range(3):
        await queue.put(MESSAGE)
    await queue.put(Message("acme", "run_1", 1))
    await queue.put(Message("other", "run_1"))

    assert len(fake.created) == 3


async def test_a_name_stays_taken_after_the_task_and_a_later_period_has_another(queue, fake, clock) -> None:
    await queue.put(MESSAGE)
    fake.purge()
    await queue.put(MESSAGE)
    assert len(fake.created) == 1

    clock.advance(timedelta(minutes=5))
    await queue.put(MESSAGE)

    assert len(fake.created) == 2


async def test_a_retry_is_the_next_attempt_and_chains_of_them_meet(queue, fake) -> None:
    await queue.retry(MESSAGE, delay=timedelta())
    await queue.retry(MESSAGE, delay=timedelta(seconds=1))
    await queue.retry(Message("acme", "run_1", 1), delay=timedelta())

    assert [json.loads(task.http_request.body)["attempt"] for task in fake.created] == [1, 2]


async def test_a_run_that_is_put_off_is_looked_at_less_and_less_often(queue, fake, clock) -> None:
    for attempt in (0, 3, 12):
        await queue.retry(Message("acme", "run_1", attempt), delay=timedelta(seconds=1))

    pauses = [round((task.schedule_time - clock.now()).total_seconds()) for task in fake.created]
    assert pauses == [1, 8, 30]


async def test_a_lost_reply_does_not_announce_twice(queue, fake) -> None:
    fake.lose_reply()
    await queue.put(MESSAGE)

    assert len(fake.created) == 1


async def test_a_passing_refusal_is_tried_again(queue, fake) -> None:
    fake.refuse_next(grpc.StatusCode.UNAVAILABLE, times=2)
    await queue.put(MESSAGE)

    assert len(fake.created) == 1


@pytest.mark.parametrize(
    ("status", "code", "hint"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, "store_denied", "roles/cloudtasks.enqueuer"),
        (grpc.StatusCode.PERMISSION_DENIED, "store_denied", f"roles/iam.serviceAccountUser on {ACCOUNT}"),
        (grpc.StatusCode.UNAUTHENTICATED, "store_denied", "roles/cloudtasks.enqueuer"),
        (grpc.StatusCode.NOT_FOUND, "store_missing", "gcloud tasks queues create runs --location=europe-west1"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "store_busy", "Quotas"),
        (grpc.StatusCode.INVALID_ARGUMENT, "store_refused", "CLOUD_TASKS_TARGET_URL"),
    ],
)
@pytest.mark.parametrize("call", ["put", "ping"])
async def test_a_refusal_says_what_to_do(queue, fake, status, code, hint, call) -> None:
    fake.refuse_next(status, "Google's own words")

    with pytest.raises(StoreUnavailable) as caught:
        await (queue.put(MESSAGE) if call == "put" else queue.ping())

    assert caught.value.code == code
    assert hint in caught.value.hint


async def test_nobody_there_is_said_and_not_waited_for_long(clock) -> None:
    queue = CloudTasksQueue(Target(QUEUE, URL, ACCOUNT, URL), clock=clock, endpoint="127.0.0.1:9", call_seconds=0.5)

    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await queue.ping()
    await queue.close()


async def test_ping_answers(queue) -> None:
    assert await queue.ping() is None


async def test_what_is_closed_says_so(queue) -> None:
    await queue.ping()
    await queue.close()
    await queue.done(MESSAGE)
    await queue.extend(MESSAGE)

    with pytest.raises(StoreUnavailable, match="closed"):
        await queue.put(MESSAGE)
