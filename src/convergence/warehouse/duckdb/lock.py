"""One process owns the data directory, by flock on a file of its own.

DuckDB's own lock is lost as soon as anything in the process closes a descriptor of the database file.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from convergence.errors import WarehouseBusy


class DirectoryLock:
    """Held from `acquire` until `release` or the end of the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take it.

        Raises:
            WarehouseBusy: another process, or another warehouse of this one, holds it.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise self._busy(owner) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give it back; nothing happens where it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _busy(self, owner: str) -> WarehouseBusy:
        return WarehouseBusy(
            f"the data directory {self._path.parent.parent} is open in process {owner}",
            hint="Use --server URL to go through the running server, or stop that process.",
            fields={"pid": owner},
        )
