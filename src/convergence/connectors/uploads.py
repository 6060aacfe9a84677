"""Files that organizations upload: streamed to disk, named by their content, kept until a run has long read them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Final

from convergence.errors import InvalidRequest, StepFailed, TooLarge
from convergence.tenancy import OrgScope

_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PARTIAL: Final = ".partial"


@dataclass(frozen=True, slots=True)
class Upload:
    """One file. `received_at` is when the same content was last uploaded: of two files, the later one is newer."""

    sha256: str
    path: Path
    size_bytes: int
    received_at: datetime


class Uploads:
    """`{folder}/{org}/{sha256}`. Several machines share the folder; nothing but the organization's runs opens it."""

    def __init__(self, folder: Path, retention_days: int = 30) -> None:
        self._folder = folder
        self._retention = timedelta(days=retention_days)

    async def receive(self, org: OrgScope, chunks: AsyncIterator[bytes], *, max_bytes: int) -> Upload:
        """Write a file as it arrives. The same content twice is one file, with the later time.

        Raises:
            TooLarge: more than `max_bytes`; nothing is kept.
            InvalidRequest: no bytes at all.
        """
        folder = self._folder / org.org_slug
        partial = folder / f"{secrets.token_hex(8)}{_PARTIAL}"
        file = await asyncio.to_thread(_create, partial)
        try:
            digest = await _write(file, chunks, max_bytes)
            await asyncio.to_thread(_finish, file, partial, folder / digest)
        except BaseException:
            file.close()
            partial.unlink(missing_ok=True)
            raise
        return await self.find(org, digest)

    async def find(self, org: OrgScope, sha256: str) -> Upload:
        """The organization's file of that content.

        Raises:
            StepFailed: upload_missing: it was never uploaded here, or its retention is over.
        """
        path = self._folder / org.org_slug / sha256
        if not _DIGEST.fullmatch(sha256) or not await asyncio.to_thread(path.is_file):
            raise StepFailed(
                f"there is no uploaded file {sha256[:64]!r}",
                code="upload_missing",
                hint="Upload it again with POST /files. Several machines must share DATA_DIR.",
            )
        found = await asyncio.to_thread(path.stat)
        return Upload(sha256, path, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    async def open(self, org: OrgScope, sha256: str) -> Path:
        """Where the organization's file of that content lies; as `find`."""
        return (await self.find(org, sha256)).path

    async def sweep(self, now: datetime) -> int:
        """Delete files older than the retention, half a file that nobody finished too; how many."""
        return await asyncio.to_thread(self._sweep, (now - self._retention).timestamp())

    def _sweep(self, before: float) -> int:
        stale = [path for path in _files_below(self._folder) if _is_older(path, before)]
        for path in stale:
            path.unlink(missing_ok=True)
        return len(stale)


def _create(path: Path) -> IO[bytes]:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


async def _write(file: IO[bytes], chunks: AsyncIterator[bytes], max_bytes: int) -> str:
    sha, size = hashlib.sha256(), 0
    async for chunk in chunks:
        size += len(chunk)
        if size > max_bytes:
            raise TooLarge(
                f"the file is larger than {max_bytes} bytes",
                hint="MAX_UPLOAD_SIZE_BYTES is the server's cap. Export fewer days, or send it as a ZIP.",
            )
        sha.update(chunk)
        await asyncio.to_thread(file.write, chunk)
    if not size:
        raise InvalidRequest("the file is empty", code="upload_empty", hint="Send the file as the part `file`.")
    return sha.hexdigest()


def _finish(file: IO[bytes], partial: Path, path: Path) -> None:
    """A file that is named by its content has all of it, whatever dies when."""
    file.flush()
    os.fsync(file.fileno())
    file.close()
    partial.replace(path)


def _files_below(folder: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError):
        for org in folder.iterdir():
            yield from (path for path in org.iterdir() if path.is_file())


def _is_older(path: Path, before: float) -> bool:
    try:
        return path.stat().st_mtime < before
    except FileNotFoundError:
        return False
