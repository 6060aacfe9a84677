"""What was asked of the simulator, and when."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any, NamedTuple

_KEPT = 10_000


class Entry(NamedTuple):
    """One request. `at` is seconds on a monotonic clock; no status means that the connection was cut."""

    at: float
    method: str
    path: str
    query: str
    status: int | None
    fault: str | None


class Journal:
    """Counts of every request, and the last ten thousand of them."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._entries: deque[Entry] = deque(maxlen=_KEPT)

    def note(self, entry: Entry) -> None:
        self._counts[entry.path] += 1
        self._entries.append(entry)

    def counts(self) -> dict[str, int]:
        """Requests by path."""
        return dict(self._counts)

    def entries(self) -> list[Entry]:
        return list(self._entries)

    def plain(self, *, with_log: bool) -> dict[str, Any]:
        """For JSON: counts, and the entries where asked."""
        summary: dict[str, Any] = {"total": self._counts.total(), "paths": self.counts()}
        if with_log:
            summary["log"] = [entry._asdict() for entry in self._entries]
        return summary

    def clear(self) -> None:
        self._counts.clear()
        self._entries.clear()
