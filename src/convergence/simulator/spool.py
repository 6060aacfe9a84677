"""Rendered rows kept in a temporary file, so that a benchmark is served at disk speed with flat memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Hashable
from threading import Lock


class Spool:
    """Bodies by key. The file has no name and vanishes with the process."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the spool
        self._places: dict[Hashable, tuple[int, int]] = {}
        self._lock = Lock()

    def hold(self, key: Hashable, render: Callable[[], bytes]) -> bytes:
        """The kept body, rendered on first use."""
        place = self._places.get(key)
        if place is not None:
            return os.pread(self._file.fileno(), place[1], place[0])
        body = render()
        with self._lock:
            offset = self._file.seek(0, os.SEEK_END)
            self._file.write(body)
            self._file.flush()
            self._places[key] = (offset, len(body))
        return body

    def close(self) -> None:
        self._file.close()
