"""Wake-up calls for workers. Losing or doubling one is harmless: the run record is the truth."""

from convergence.queue.protocol import Message, PullQueue, PushQueue, Queue

__all__ = ["Message", "PullQueue", "PushQueue", "Queue"]
