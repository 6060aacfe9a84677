"""Raw pages as they came, kept so that a mapping can be mended and replayed without fetching again."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

import msgspec
import pyarrow as pa

from convergence.connectors.pages import Page, read_envelope
from convergence.errors import InvalidRequest

_COMPONENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}", re.ASCII)
_SUFFIX = ".json.zst"
_REQUESTS = "requests.ndjson"


@dataclass(frozen=True, slots=True)
class ArchiveKey:
    """One fetch: `window` is a day or a range of days, `load_id` the attempt that fetched it."""

    org_slug: str
    provider: str
    stream: str
    window: str
    load_id: str

    def parts(self) -> tuple[str, ...]:
        """The folders of it.

        Raises:
            InvalidRequest: a part that would leave its folder.
        """
        parts = (self.org_slug, self.provider, self.stream, self.window, self.load_id)
        for part in parts:
            if not _COMPONENT.fullmatch(part) or ".." in part:
                raise InvalidRequest(f"{part!r} cannot name a folder of the archive", code="archive_key_invalid")
        return parts


class _Request(msgspec.Struct, frozen=True):
    number: int
    status: int
    params: list[tuple[str, str]]


class PageArchive:
    """`{folder}/{org}/{provider}/{stream}/{window}/{load_id}/{page}.json.zst`: the body, byte for byte.

    Beside the pages lies `requests.ndjson` with the parameters of each. Headers are not kept, so no credential is.
    """

    def __init__(self, folder: Path, retention_days: int = 30, *, swept_at_once: int = 10_000) -> None:
        self._folder = folder
        self._retention = timedelta(days=retention_days)
        self._swept_at_once = swept_at_once
        self._round: Iterator[Path] = iter(())
        self._sweeping = asyncio.Lock()

    async def write(self, key: ArchiveKey, page: Page) -> Path:
        """Keep one page. A page of the same key and number is replaced."""
        return await asyncio.to_thread(self._write, key, page)

    def read(self, key: ArchiveKey) -> Iterator[Page]:
        """The pages of a fetch, in order; none when nothing is kept of it."""
        folder = self._folder.joinpath(*key.parts())
        requests = {request.number: request for request in _read_requests(folder)}
        for path in sorted(folder.glob(f"*{_SUFFIX}")):
            request = requests.get(int(path.name.removesuffix(_SUFFIX)))
            if request is not None:
                yield _restore(request, _unpack(path))

    def loads(self, org_slug: str, provider: str, stream: str, window: str) -> list[str]:
        """The load ids kept of a window, oldest first."""
        folder = self._folder.joinpath(*ArchiveKey(org_slug, provider, stream, window, "any").parts()[:-1])
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    async def sweep(self, now: datetime) -> int:
        """Delete fetches older than the retention; how many.

        For a call every hour: each looks at the next `swept_at_once` fetches, and after the last one begins again.
        """
        async with self._sweeping:
            return await asyncio.to_thread(self._sweep, (now - self._retention).timestamp())

    def _write(self, key: ArchiveKey, page: Page) -> Path:
        folder = self._folder.joinpath(*key.parts())
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{page.number:05d}{_SUFFIX}"
        partial = path.with_suffix(".partial")
        _pack(partial, page.body)
        partial.replace(path)
        line = msgspec.json.encode(_Request(page.number, page.status, list(page.params)))
        with (folder / _REQUESTS).open("ab") as requests:
            requests.write(line + b"\n")
        return path

    def _sweep(self, before: float) -> int:
        looked_at = list(islice(self._round, self._swept_at_once))
        if len(looked_at) < self._swept_at_once:
            self._round = _below(self._folder, len(ArchiveKey.__slots__))
            looked_at += islice(self._round, self._swept_at_once - len(looked_at))
        stale = [folder for folder in dict.fromkeys(looked_at) if _is_older(folder, before)]
        for folder in stale:
            shutil.rmtree(folder, ignore_errors=True)  # what cannot be deleted now is looked at in the next round
            _remove_empty_parents(folder.parent, self._folder)
        return len(stale)


def _pack(path: Path, body: bytes) -> None:
    """As zstd: a third of gzip's time and two thirds of its size, with the interpreter free for others."""
    with pa.output_stream(path, compression="zstd") as file:
        file.write(body)


def _unpack(path: Path) -> bytes:
    with pa.input_stream(path, compression="zstd") as file:
        body: bytes = file.read()
    return body


def _restore(request: _Request, body: bytes) -> Page:
    params = tuple(request.params)
    return Page(request.number, request.status, {}, body, params, read_envelope(body))


def _read_requests(folder: Path) -> list[_Request]:
    path = folder / _REQUESTS
    if not path.is_file():
        return []
    return [msgspec.json.decode(line, type=_Request) for line in path.read_bytes().splitlines() if line]


def _below(folder: Path, depth: int) -> Iterator[Path]:
    """Folders so many levels down, found as they are asked for; one that has gone meanwhile has none."""
    if depth == 0:
        yield folder
        return
    with suppress(FileNotFoundError, NotADirectoryError):
        for child in sorted(folder.iterdir()):
            yield from _below(child, depth - 1)


def _is_older(folder: Path, before: float) -> bool:
    """A folder's own time moves with each page that is put into it."""
    try:
        return folder.stat().st_mtime < before
    except FileNotFoundError:
        return False


def _remove_empty_parents(folder: Path, root: Path) -> None:
    with suppress(OSError):  # not empty: a fetch has come into it meanwhile
        while folder != root:
            folder.rmdir()
            folder = folder.parent
