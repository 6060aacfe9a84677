"""The queue seam: a hint that a run is due."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Message:
    """Work to look at. `key` identifies the run; `attempt` makes the message of a retry a new one."""

    org_slug: str
    run_id: str
    attempt: int = 0
    receipt: str = ""


class Queue(Protocol):
    """At-least-once delivery. How a message reaches a worker is the queue's: pulled, or pushed over HTTP."""

    async def put(self, message: Message, /, *, delay: timedelta = timedelta()) -> None:
        """Announce a run. The same run and attempt while it still waits is announced once."""
        ...

    async def extend(self, message: Message, /) -> None:
        """Keep a claimed message from being delivered again while work goes on."""
        ...

    async def done(self, message: Message, /) -> None:
        """Forget a claimed message."""
        ...

    async def retry(self, message: Message, /, *, delay: timedelta) -> None:
        """Deliver again, as the next attempt, after `delay`."""
        ...

    async def ping(self) -> None: ...

    async def close(self) -> None: ...


@runtime_checkable
class PullQueue(Queue, Protocol):
    """A queue that workers ask for messages, fair between organizations."""

    async def claim(self, /, *, wait: timedelta) -> Message | None:
        """The next message, round-robin over organizations; None after `wait`. It comes again unless done."""
        ...


@runtime_checkable
class PushQueue(Queue, Protocol):
    """A queue that sends each message as an HTTP request; its 2xx answer is what `done` is to others."""

    @property
    def patience(self) -> timedelta:
        """How long a delivery may take. Whatever is not answered by then is delivered again."""
        ...

    async def check_sender(self, token: str, /) -> None:
        """
        Raises:
            Unauthenticated: the delivery is not of this queue.
        """
        ...
