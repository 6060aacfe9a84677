"""Wake-up calls for workers. Losing or doubling one is harmless: the run record is the truth."""

from convergence.queue.protocol import Message, Queue

__all__ = ["Message", "Queue"]
