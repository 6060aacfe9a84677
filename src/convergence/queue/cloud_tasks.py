"""The queue of Google Cloud: every message is a task, and Cloud Tasks posts it to a worker."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from convergence.errors import ConfigError, Fault, StoreUnavailable
from convergence.kit.clock import Clock
from convergence.kit.hashing import digest
from convergence.queue.cloud_tasks_errors import translate
from convergence.queue.protocol import Message
from convergence.security.identity import CERTIFICATES_URL, GoogleIdentity

if TYPE_CHECKING:
    from google.api_core.retry import AsyncRetry
    from google.cloud.tasks_v2 import CloudTasksAsyncClient, Task

RUN_PATH: Final = "/api/v1/tasks/run"
_SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)
_LONGEST_DELAY: Final = timedelta(days=29)  # Cloud Tasks takes 30
_SHORTEST_LOOK: Final = timedelta(seconds=1)
_LONGEST_LOOK: Final = timedelta(seconds=30)
_PERIOD_SECONDS: Final = 300  # an open run is announced anew in each, whatever became of its earlier tasks
_MARGIN: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Target:
    """Where tasks go: the queue, the URL of the worker, and the account and audience of their tokens."""

    queue: str
    url: str
    service_account: str
    audience: str
    deadline: timedelta = timedelta(minutes=30)


class CloudTasksQueue:
    """A PushQueue. Names keep a message from being announced twice, also after it was delivered.

    A retry's name is of the run and its attempt: two chains of retries of one run meet at the first name that both
    ask for, and one of them ends there. An announcement's name is also of its period of five minutes: a run whose task
    was lost comes again in the next one, though the old name stays taken for hours.
    """

    def __init__(
        self,
        target: Target,
        *,
        clock: Clock,
        endpoint: str | None = None,
        certificates_url: str = CERTIFICATES_URL,
        call_seconds: float = 10,
    ) -> None:
        _load_library()
        self._target = target
        self._clock = clock
        self._endpoint = endpoint
        self._call_seconds = call_seconds
        self._identity = GoogleIdentity(
            service_account=target.service_account, audience=target.audience, certificates_url=certificates_url
        )
        self._client: CloudTasksAsyncClient | None = None
        self._opening = asyncio.Lock()
        self._is_closed = False

    @property
    def patience(self) -> timedelta:
        return self._target.deadline - min(_MARGIN, self._target.deadline / 10)

    async def check_sender(self, token: str, /) -> None:
        await self._identity.check(token)

    async def put(self, message: Message, /, *, delay: timedelta = timedelta()) -> None:
        due = self._clock.now() + delay
        period = math.floor(due.timestamp() / _PERIOD_SECONDS)
        await self._create(message, delay, _name(message, "announced", str(period)))

    async def extend(self, message: Message, /) -> None:
        """A delivery is kept by its open request."""

    async def done(self, message: Message, /) -> None:
        """The answer to the request says it."""

    async def retry(self, message: Message, /, *, delay: timedelta) -> None:
        """Each put-off of a run that is not yet possible waits longer than the last, up to half a minute."""
        following = Message(message.org_slug, message.run_id, message.attempt + 1)
        pause = min(_LONGEST_LOOK, _SHORTEST_LOOK * 2 ** min(message.attempt, 10)) if delay else delay
        await self._create(following, max(delay, pause), _name(following, "retried"))

    async def ping(self) -> None:
        client = await self._open()
        with self._explained():
            await client.get_queue(
                name=self._target.queue, timeout=self._call_seconds, retry=_retry(self._call_seconds)
            )

    async def close(self) -> None:
        self._is_closed = True
        if self._client is not None:
            await self._client.transport.close()  # type: ignore[no-untyped-call]  # the library has no annotation here
            self._client = None

    async def _create(self, message: Message, delay: timedelta, name: str) -> None:
        from google.api_core.exceptions import AlreadyExists

        client = await self._open()
        task = self._build(message, min(delay, _LONGEST_DELAY), f"{self._target.queue}/tasks/{name}")
        with self._explained(), suppress(AlreadyExists):
            await client.create_task(
                parent=self._target.queue, task=task, timeout=self._call_seconds, retry=_retry(self._call_seconds)
            )

    def _build(self, message: Message, delay: timedelta, name: str) -> Task:
        from google.cloud.tasks_v2 import HttpMethod, HttpRequest, OidcToken, Task

        hint = {"org_slug": message.org_slug, "run_id": message.run_id, "attempt": message.attempt}
        request = HttpRequest(
            url=self._target.url.rstrip("/") + RUN_PATH,
            http_method=HttpMethod.POST,
            headers={"Content-Type": "application/json"},
            body=msgspec.json.encode(hint),
            oidc_token=OidcToken(service_account_email=self._target.service_account, audience=self._target.audience),
        )
        due = {"schedule_time": self._clock.now() + delay} if delay else {}
        return Task(name=name, http_request=request, dispatch_deadline=self._target.deadline, **due)

    async def _open(self) -> CloudTasksAsyncClient:
        async with self._opening:
            if self._is_closed:
                raise StoreUnavailable("the queue is closed")
            if self._client is None:
                with self._explained():
                    self._client = await _connect(self._endpoint)
            return self._client

    @contextmanager
    def _explained(self) -> Iterator[None]:
        from google.api_core.exceptions import GoogleAPIError
        from google.auth.exceptions import GoogleAuthError

        try:
            yield
        except (GoogleAPIError, GoogleAuthError) as error:
            raise translate(error, queue=self._target.queue, service_account=self._target.service_account) from error


def _load_library() -> None:
    """At the start of the process: the first run would wait for it."""
    try:
        import google.cloud.tasks_v2  # noqa: F401 - whether it is there
    except ImportError as error:
        fault = Fault("the library of Cloud Tasks is not installed", key="QUEUE_BACKEND", expected="convergence[gcp]")
        raise ConfigError(fault, hint="pip install 'convergence[gcp]'") from error


async def _connect(endpoint: str | None) -> CloudTasksAsyncClient:
    """A client with the credentials of this machine, or without any where an emulator is named."""
    import google.auth
    import grpc
    from google.cloud.tasks_v2 import CloudTasksAsyncClient
    from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcAsyncIOTransport

    if endpoint is not None:
        channel = grpc.aio.insecure_channel(endpoint)
        return CloudTasksAsyncClient(transport=CloudTasksGrpcAsyncIOTransport(channel=channel))
    credentials, _ = await asyncio.to_thread(google.auth.default, scopes=_SCOPES)  # may ask a metadata server
    return CloudTasksAsyncClient(credentials=credentials)


def _retry(seconds: float) -> AsyncRetry:
    """Every call is safe to send twice: names make it so."""
    from google.api_core import exceptions as google
    from google.api_core.retry import AsyncRetry, if_exception_type

    passing = if_exception_type(google.ServiceUnavailable, google.InternalServerError, google.Aborted)
    return AsyncRetry(predicate=passing, initial=0.1, maximum=1.0, timeout=seconds)


def _name(message: Message, *parts: str) -> str:
    """Hashed: names that grow in order are slow to look up, and a name shows in the console."""
    return digest(message.org_slug, message.run_id, str(message.attempt), *parts)
