"""Uploaded files on disk: by organization and content, within their cap and retention."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from convergence.connectors.uploads import Uploads
from convergence.errors import InvalidRequest, StepFailed, TooLarge
from convergence.tenancy import OrgScope

ACME, RIVAL = OrgScope("acme"), OrgScope("rival")
DIGEST = hashlib.sha256(b"abcdef").hexdigest()


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path, retention_days=30)


async def test_a_file_lies_under_its_organization_and_content(uploads: Uploads, tmp_path: Path) -> None:
    made = await uploads.receive(ACME, pieces(b"abc", b"def"), max_bytes=6)
    found = await uploads.open(ACME, DIGEST)

    assert (made.sha256, made.size_bytes, found.read_bytes()) == (DIGEST, 6, b"abcdef")
    assert files(tmp_path) == [f"acme/{DIGEST}"]
    assert (found.stat().st_mode & 0o777, found.parent.stat().st_mode & 0o777) == (0o600, 0o700)


async def test_the_same_content_is_one_file_with_the_later_time(uploads: Uploads, tmp_path: Path) -> None:
    first = await uploads.receive(ACME, pieces(b"abcdef"), max_bytes=6)
    os.utime(first.path, (0, 0))
    second = await uploads.receive(ACME, pieces(b"a", b"bcdef"), max_bytes=6)

    assert second.sha256 == first.sha256
    assert second.received_at > datetime(2026, 1, 1, tzinfo=UTC)
    assert len(files(tmp_path)) == 1


@pytest.mark.parametrize(
    ("chunks", "error"), [((b"abc", b"defg"), TooLarge), ((), InvalidRequest), ((b"",), InvalidRequest)]
)
async def test_what_is_too_large_or_empty_leaves_nothing(
    uploads: Uploads, tmp_path: Path, chunks: tuple[bytes, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await uploads.receive(ACME, pieces(*chunks), max_bytes=6)
    assert files(tmp_path) == []


async def test_an_upload_that_breaks_off_leaves_nothing(uploads: Uploads, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"abc"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await uploads.receive(ACME, broken(), max_bytes=6)
    assert files(tmp_path) == []


@pytest.mark.parametrize("sha256", [DIGEST, "0" * 64, "../acme/" + DIGEST, DIGEST.upper(), ""])
async def test_nothing_but_the_organization_s_own_content_is_found(uploads: Uploads, sha256: str) -> None:
    await uploads.receive(ACME, pieces(b"abcdef"), max_bytes=6)
    with pytest.raises(StepFailed) as missing:
        await uploads.open(RIVAL, sha256)
    assert missing.value.code == "upload_missing"


async def test_files_past_their_retention_are_swept_and_others_stay(uploads: Uploads, tmp_path: Path) -> None:
    old = await uploads.receive(ACME, pieces(b"old"), max_bytes=6)
    new = await uploads.receive(RIVAL, pieces(b"new"), max_bytes=6)
    left = tmp_path / "acme" / "0123.partial"
    left.write_bytes(b"x")
    past = (datetime.now(UTC) - timedelta(days=31)).timestamp()
    for path in (old.path, left):
        os.utime(path, (past, past))

    assert await uploads.sweep(datetime.now(UTC)) == 2
    assert files(tmp_path) == [f"rival/{new.sha256}"]
