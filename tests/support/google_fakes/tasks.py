"""Cloud Tasks: names that stay taken, rate and concurrency limits, backoff, signed deliveries."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import httpx2
from google.cloud.tasks_v2 import HttpMethod, Queue, Task
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcAsyncIOTransport

from google_fakes.identity import FakeIssuer
from google_fakes.kit import serving

QUEUE = "projects/fake/locations/europe-west1/queues/runs"


@dataclass(frozen=True)
class Delivery:
    """One request and its status; 0 where nobody answered."""

    task: str
    status: int
    attempt: int
    headers: dict[str, str]


@dataclass(frozen=True)
class Limits:
    """What a queue is configured with."""

    per_second: float = 500
    concurrent: int = 1000
    attempts: int = 100
    min_backoff: float = 0.1
    max_backoff: float = 2.0
    tombstone_seconds: float = 3600
    min_deadline: float = 15


class FakeTasks:
    """One queue. `copies` sends every delivery several times at once; `is_paused` holds tasks back."""

    def __init__(self, issuer: FakeIssuer, limits: Limits | None = None, *, copies: int = 1) -> None:
        self.tasks: dict[str, Task] = {}
        self.created: list[Task] = []
        self.deliveries: list[Delivery] = []
        self.is_paused = threading.Event()
        self._issuer = issuer
        self._limits = limits or Limits()
        self._copies = copies
        self._taken: dict[str, float] = {}
        self._refusals: list[tuple[grpc.StatusCode, str]] = []
        self._lost_replies = 0
        self._next_dispatch = 0.0
        self._slots = threading.Semaphore(self._limits.concurrent)
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._http = httpx2.Client(trust_env=False)
        self._pool = ThreadPoolExecutor(64, thread_name_prefix="fake-tasks")

    def refuse_next(self, status: grpc.StatusCode, text: str = "refused", times: int = 1) -> None:
        self._refusals += [(status, text)] * times

    def lose_reply(self) -> None:
        """The next task is created, and its caller told that the service is away."""
        self._lost_replies += 1

    def purge(self) -> None:
        """Tasks are gone, their names stay taken."""
        with self._lock:
            for name in list(self.tasks):
                self._forget(name)

    def statuses(self) -> list[int]:
        return [delivery.status for delivery in self.deliveries]

    def GetQueue(self, request: Any, context: grpc.ServicerContext) -> Queue:  # noqa: N802 (the RPC's name)
        self._meet(request.name, context)
        return Queue(name=QUEUE, state=Queue.State.PAUSED if self.is_paused.is_set() else Queue.State.RUNNING)

    def CreateTask(self, request: Any, context: grpc.ServicerContext) -> Task:  # noqa: N802 (the RPC's name)
        self._meet(request.parent, context)
        task = Task(request.task)
        self._check(task, context)
        with self._lock:
            if task.name in self.tasks or self._taken.get(task.name, 0) > time.monotonic():
                context.abort(grpc.StatusCode.ALREADY_EXISTS, "Requested entity already exists")
            task.create_time = datetime.now(UTC)
            task.schedule_time = task.schedule_time or task.create_time
            self.tasks[task.name] = task
            self.created.append(task)
        self._pool.submit(self._live, task)
        if self._lost_replies:
            self._lost_replies -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset")
        return task

    def close(self) -> None:
        self._closed.set()
        self._pool.shutdown(wait=True)
        self._http.close()

    def _meet(self, queue: str, context: grpc.ServicerContext) -> None:
        if self._refusals:
            context.abort(*self._refusals.pop(0))
        if queue != QUEUE:
            context.abort(grpc.StatusCode.NOT_FOUND, "Queue does not exist.")

    def _check(self, task: Task, context: grpc.ServicerContext) -> None:
        deadline = task.dispatch_deadline.total_seconds() if task.dispatch_deadline else 600
        latest = datetime.now(UTC) + timedelta(days=30)
        sound = (
            task.name.startswith(f"{QUEUE}/tasks/")
            and self._limits.min_deadline <= deadline <= 1800
            and (task.schedule_time is None or task.schedule_time <= latest)
            and task.http_request.url.startswith(("http://", "https://"))
            and "@" in task.http_request.oidc_token.service_account_email
        )
        if not sound:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The task is not valid")

    def _live(self, task: Task) -> None:
        due = task.schedule_time.timestamp()
        for attempt in range(self._limits.attempts):
            while (pause := due - time.time()) > 0 or self.is_paused.is_set():
                if self._closed.wait(min(max(pause, 0.02), 0.2)):
                    return
            if task.name not in self.tasks or not self._wait_for_rate():
                return
            with self._slots:
                answered = self._deliver(task, attempt)
            if 200 <= answered.status < 300:
                break
            due = time.time() + self._backoff(attempt)
        self._forget(task.name)

    def _wait_for_rate(self) -> bool:
        with self._lock:
            self._next_dispatch = max(self._next_dispatch, time.monotonic()) + 1 / self._limits.per_second
            pause = self._next_dispatch - time.monotonic()
        return not self._closed.wait(pause)

    def _backoff(self, attempt: int) -> float:
        return min(self._limits.min_backoff * 2**attempt, self._limits.max_backoff)

    def _deliver(self, task: Task, attempt: int) -> Delivery:
        """The answer that counts is the last one to arrive."""
        with ThreadPoolExecutor(self._copies) as copies:
            sent = [copies.submit(self._send, task, attempt) for _ in range(self._copies)]
        return [one.result() for one in sent][-1]

    def _send(self, task: Task, attempt: int) -> Delivery:
        headers = self._headers(task, attempt)
        asked = task.http_request
        method, seconds = HttpMethod(asked.http_method).name, task.dispatch_deadline.total_seconds()
        try:
            answer = self._http.request(method, asked.url, content=asked.body, headers=headers, timeout=seconds)
            status = answer.status_code
        except httpx2.TransportError:
            status = 0
        delivery = Delivery(task.name, status, attempt, headers)
        self.deliveries.append(delivery)
        return delivery

    def _headers(self, task: Task, attempt: int) -> dict[str, str]:
        asked = task.http_request
        token = asked.oidc_token
        return {
            **asked.headers,
            "User-Agent": "Google-Cloud-Tasks",
            "X-CloudTasks-QueueName": QUEUE.rpartition("/")[2],
            "X-CloudTasks-TaskName": task.name.rpartition("/")[2],
            "X-CloudTasks-TaskRetryCount": str(attempt),
            "X-CloudTasks-TaskETA": str(task.schedule_time.timestamp()),
            "Authorization": f"Bearer {self._issuer.sign(token.audience or asked.url, token.service_account_email)}",
        }

    def _forget(self, name: str) -> None:
        with self._lock:
            self.tasks.pop(name, None)
            self._taken[name] = time.monotonic() + self._limits.tombstone_seconds


@contextmanager
def serving_tasks(fake: FakeTasks) -> Iterator[str]:
    """The address of the fake, `127.0.0.1:port`."""
    with serving((CloudTasksGrpcAsyncIOTransport, fake)) as address:
        try:
            yield address
        finally:
            fake.close()
