"""What lies in an uploaded file: itself, or the members of a ZIP, unpacked within bounds.

Names inside an archive are never paths of ours. Sizes that an archive declares are not believed.
"""

from __future__ import annotations

import io
import lzma
import os
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from convergence.errors import InvalidRequest, TooLarge

MOST_MEMBERS: Final = 100
MOST_BYTES: Final = 4 * 1024**3
MOST_RATIO: Final = 250
_FREE_BYTES: Final = 16 * 1024**2  # below which no ratio is suspicious: a table of one repeated row packs well
_PIECE: Final = 1024**2
_LONGEST_DIRECTORY: Final = 4 * 1024**2
_ARCHIVES: Final = (
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"\x1f\x8b",
    b"7z\xbc\xaf",
    b"Rar!",
    b"BZh",
    b"\xfd7zXZ",
    b"\x28\xb5\x2f\xfd",
)
_SUFFIXES: Final = frozenset({".zip", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz", ".zst", ".tar"})
_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Member:
    """A plain file. `name` is what people know it by."""

    name: str
    path: Path


def check_archive(path: Path) -> None:
    """Refuse an archive for what its directory says, without unpacking it; anything else passes.

    Raises:
        InvalidRequest: archive_refused: too many members, a path, a password, an archive in it, or broken.
        TooLarge: it declares more than may be unpacked.
    """
    if _magic(path).startswith(_ARCHIVES[:2]):
        with _open_zip(path) as archive:
            _check_members(_members(archive))


@contextmanager
def unpack(path: Path, name: str) -> Iterator[list[Member]]:
    """The plain files inside, in order of their names; they are gone when the context ends. May block.

    Raises:
        InvalidRequest, TooLarge: as `check_archive`, and where the content is not as declared.
    """
    magic = _magic(path)
    with tempfile.TemporaryDirectory(prefix="convergence-upload-") as folder:
        if magic.startswith(_ARCHIVES[:2]):
            yield _unpack_zip(path, Path(folder))
        elif magic.startswith(b"\x1f\x8b"):
            yield [_unpack_gzip(path, name, Path(folder))]
        elif magic.startswith(_ARCHIVES):
            raise _refused("it is an archive of another kind than ZIP and gzip")
        else:
            yield [Member(name, path)]


def _unpack_zip(path: Path, folder: Path) -> list[Member]:
    with _open_zip(path) as archive:
        members = _members(archive)
        _check_members(members)
        found, room = [], MOST_BYTES
        for number, info in enumerate(sorted(members, key=lambda member: member.filename)):
            target = folder / str(number)
            with _reading(), archive.open(info) as packed:
                room -= _copy(packed, target, min(room, _most_bytes(info.compress_size)))
            found.append(_plain(Member(PurePosixPath(info.filename).name, target)))
    return found


def _unpack_gzip(path: Path, name: str, folder: Path) -> Member:
    import gzip

    target = folder / "0"
    with _reading(), gzip.open(path) as packed:
        _copy(packed, target, min(MOST_BYTES, _most_bytes(path.stat().st_size)))
    return _plain(Member(name.removesuffix(".gz"), target))


def _copy(packed: _Readable, target: Path, room: int) -> int:
    size = 0
    with target.open("wb") as file:
        while piece := packed.read(_PIECE):
            size += len(piece)
            if size > room:
                raise TooLarge(f"the archive unpacks to more than {room} bytes", code="archive_too_large", hint=_HINT)
            file.write(piece)
    return size


def _plain(member: Member) -> Member:
    if _magic(member.path).startswith(_ARCHIVES):
        raise _refused(f"its member {member.name[:100]!r} is an archive again")
    return member


class _BoundedReads(io.FileIO):
    """zipfile reads the whole directory of an archive at once, whatever size it claims."""

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = os.fstat(self.fileno()).st_size - self.tell() if size is None or size < 0 else size
        if wanted > _LONGEST_DIRECTORY:
            raise _refused(f"its directory is larger than {_LONGEST_DIRECTORY} bytes")
        return super().read(size)


@contextmanager
def _open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    with _BoundedReads(path) as file:
        with _reading():
            archive = zipfile.ZipFile(file)
        with archive:
            yield archive


@contextmanager
def _reading() -> Iterator[None]:
    """What the decoders raise of a broken or hostile archive, as one refusal."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError) as error:
        raise _refused("it is broken or cut short") from error
    except (OSError, ValueError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise _refused("it is broken or cut short") from error


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """What counts of it; folders, and what the Finder leaves behind, do not."""
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise _refused(f"it has {len(members)} members, more than {MOST_MEMBERS}")
    return [info for info in members if not info.is_dir() and not _is_litter(PurePosixPath(info.filename))]


def _is_litter(path: PurePosixPath) -> bool:
    return path.name.startswith(".") or path.parts[:1] == ("__MACOSX",)


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    if not members:
        raise _refused("there is no file in it")
    names = [info.filename for info in members]
    if len(set(names)) != len(names):
        raise _refused("two of its members have the same name")
    for info in members:
        if reason := _find_fault(info):
            raise _refused(f"its member {info.filename[:100]!r} {reason}")
    if sum(info.file_size for info in members) > MOST_BYTES or any(_is_bomb(info) for info in members):
        raise TooLarge("the archive unpacks to more than is taken", code="archive_too_large", hint=_HINT)


def _find_fault(info: zipfile.ZipInfo) -> str | None:
    path = PurePosixPath(info.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in info.filename or "\0" in info.orig_filename:
        return "has a path that leads elsewhere"
    if info.flag_bits & 0x1:
        return "has a password"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a link"
    if info.compress_type not in _METHODS:
        return "is packed in a way that is not taken"
    return "is an archive again" if path.suffix.lower() in _SUFFIXES else None


def _is_bomb(info: zipfile.ZipInfo) -> bool:
    return info.file_size > _most_bytes(info.compress_size)


def _most_bytes(packed: int) -> int:
    return max(_FREE_BYTES, packed * MOST_RATIO)


def _magic(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(8)


_HINT: Final = "Pack less into one archive, or upload the files one by one."


def _refused(reason: str) -> InvalidRequest:
    return InvalidRequest(
        f"the archive is refused: {reason}", code="archive_refused", hint="Upload plain files, or a flat ZIP of them."
    )
