"""Archives: what is taken, and that hostile ones are refused for a reason."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from convergence.connectors.files import check_archive, unpack
from convergence.errors import InvalidRequest, RequestError, TooLarge


def build_zip(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return content.getvalue()


def contents(path: Path, name: str = "export.zip") -> dict[str, bytes]:
    with unpack(path, name) as members:
        return {member.name: member.path.read_bytes() for member in members}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "upload"


def test_a_zip_is_its_files_whatever_folder_they_lie_in(path: Path) -> None:
    path.write_bytes(
        build_zip(
            ("usage/b.csv", b"2"), ("a.csv", b"1"), ("__MACOSX/._a.csv", b"x"), (".DS_Store", b"x"), ("usage/", b"")
        )
    )

    assert contents(path) == {"a.csv": b"1", "b.csv": b"2"}


def test_a_plain_file_is_itself_and_gzip_its_content(path: Path) -> None:
    path.write_bytes(b"a,b\n")
    assert contents(path, "x.csv") == {"x.csv": b"a,b\n"}
    path.write_bytes(gzip.compress(b"a,b\n"))
    assert contents(path, "x.csv.gz") == {"x.csv": b"a,b\n"}


def _link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("link.csv")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info


def _with_password() -> bytes:
    content = bytearray(build_zip(("a.csv", b"1")))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    return bytes(content)


def _with_huge_directory() -> bytes:
    content = bytearray(build_zip(("a.csv", b"1")))
    struct.pack_into("<I", content, content.index(b"PK\x05\x06") + 12, 8 * 1024**2)
    return b"PK\x03\x04" + b"\0" * (9 * 1024**2) + bytes(content)


HOSTILE = {
    "traversal": build_zip(("../../etc/cron.d/x", b"1")),
    "absolute": build_zip(("/etc/passwd", b"1")),
    "windows-path": build_zip(("..\\..\\x.csv", b"1")),
    "drive": build_zip(("C:\\x.csv", b"1")),
    "link": build_zip((_link(), b"/etc/passwd")),
    "many": build_zip(*((f"{number}.csv", b"1") for number in range(101))),
    "nested": build_zip(("inner.zip", build_zip(("a.csv", b"1")))),
    "password": _with_password(),
    "method": build_zip(("a.csv", b"1" * 100), method=zipfile.ZIP_LZMA),
    "empty": build_zip(),
    "only-litter": build_zip((".hidden", b"1")),
    "cut-short": build_zip(("a.csv", b"1" * 1000))[:60],
    "bomb": build_zip(("a.csv", b"0" * (32 * 1024**2))),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_before_it_is_unpacked(path: Path, name: str) -> None:
    path.write_bytes(HOSTILE[name])

    with pytest.raises(RequestError) as refused:
        check_archive(path)

    assert refused.value.code == ("archive_too_large" if name == "bomb" else "archive_refused")
    assert refused.value.hint


def test_two_members_of_one_name_are_refused(path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        path.write_bytes(build_zip(("a.csv", b"1"), ("a.csv", b"2")))

    with pytest.raises(InvalidRequest, match="the same name"):
        check_archive(path)


def test_a_directory_that_claims_to_be_huge_is_not_read(path: Path) -> None:
    path.write_bytes(_with_huge_directory())

    with pytest.raises(InvalidRequest, match="its directory is larger"):
        check_archive(path)


def test_an_archive_inside_with_an_innocent_name_is_refused_when_it_is_unpacked(path: Path) -> None:
    path.write_bytes(build_zip(("inner.csv", build_zip(("a.csv", b"1")))))

    with pytest.raises(InvalidRequest, match="archive again"):
        contents(path)


def test_a_member_that_is_larger_than_it_says_is_not_unpacked_whole(path: Path) -> None:
    content = bytearray(build_zip(("a.csv", b"0" * (32 * 1024**2))))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", content, content.index(signature) + offset, 100)
    path.write_bytes(bytes(content))

    with pytest.raises(RequestError):
        contents(path)


def test_a_gzip_bomb_is_not_unpacked_whole(path: Path) -> None:
    path.write_bytes(gzip.compress(b"0" * (64 * 1024**2)))

    with pytest.raises(TooLarge):
        contents(path, "x.csv.gz")


def test_other_archives_are_named_as_such(path: Path) -> None:
    path.write_bytes(b"7z\xbc\xaf\x27\x1c" + b"\0" * 100)

    with pytest.raises(InvalidRequest, match="another kind"):
        contents(path)
