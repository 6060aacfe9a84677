"""Pages on disk: before they are read, without credentials, swept by age, read back for a replay."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from convergence.connectors import ArchiveKey, CursorToken, HttpPool, Page, PageArchive, bearer
from convergence.errors import InvalidRequest
from convergence.kit.clock import SystemClock

from .conftest import Reply, page

KEY = ArchiveKey("acme", "openai", "openai.usage", "2026-01-01_2026-01-08", "load_1")
NOW = datetime.now(UTC)


def sheet(number: int, body: bytes = b'{"data": []}') -> Page:
    return Page(number, 200, {"x-secret": "CANARY"}, body, (("page", f"p{number}"),))


async def test_a_page_lies_at_its_place_byte_for_byte(tmp_path):
    path = await PageArchive(tmp_path).write(KEY, sheet(3, b'{"data": [0.10]}'))
    assert path == tmp_path / "acme/openai/openai.usage/2026-01-01_2026-01-08/load_1/00003.json.zst"
    assert unpack(path) == b'{"data": [0.10]}'


async def test_pages_are_read_back_in_order_with_their_parameters(tmp_path):
    archive = PageArchive(tmp_path)
    for number in (2, 1, 10):
        await archive.write(KEY, sheet(number))
    got = [(one.number, one.params, one.body, one.envelope["data"]) for one in archive.read(KEY)]
    assert got == [(n, (("page", f"p{n}"),), b'{"data": []}', []) for n in (1, 2, 10)]


async def test_a_page_written_again_replaces_the_first(tmp_path):
    archive = PageArchive(tmp_path)
    await archive.write(KEY, sheet(1, b'{"data": [1]}'))
    await archive.write(KEY, sheet(1, b'{"data": [2]}'))
    assert [one.body for one in archive.read(KEY)] == [b'{"data": [2]}']


async def test_nothing_kept_is_nothing_read(tmp_path):
    archive = PageArchive(tmp_path)
    assert list(archive.read(KEY)) == []
    assert archive.loads("acme", "openai", "openai.usage", "2026-01-01") == []


async def test_loads_of_a_window_are_listed(tmp_path):
    archive = PageArchive(tmp_path)
    await archive.write(KEY, sheet(1))
    assert archive.loads("acme", "openai", "openai.usage", "2026-01-01_2026-01-08") == ["load_1"]


async def aged(archive: PageArchive, days: int, *load_ids: str) -> None:
    """Fetches of organization `other` that ended so many days ago."""
    for load_id in load_ids:
        folder = (await archive.write(ArchiveKey("other", "openai", "s", "w", load_id), sheet(1))).parent
        os.utime(folder, ((NOW - timedelta(days=days)).timestamp(),) * 2)


async def test_only_what_is_older_than_the_retention_is_swept(tmp_path):
    archive = PageArchive(tmp_path, retention_days=30)
    await archive.write(KEY, sheet(1))
    await aged(archive, 29, "young")
    await aged(archive, 31, "old")
    assert await archive.sweep(NOW) == 1
    assert [one.number for one in archive.read(KEY)] == [1]
    assert archive.loads("other", "openai", "s", "w") == ["young"]


async def test_folders_that_a_sweep_empties_go_too(tmp_path):
    archive = PageArchive(tmp_path)
    await aged(archive, 31, "old")
    await archive.sweep(NOW)
    assert list(tmp_path.iterdir()) == []


async def test_a_sweep_looks_at_a_part_and_goes_on_there(tmp_path):
    archive = PageArchive(tmp_path, swept_at_once=2)
    await aged(archive, 1, "a", "b", "c")
    await aged(archive, 31, "d", "e")
    assert [await archive.sweep(NOW) for _ in range(3)] == [0, 1, 1]
    assert archive.loads("other", "openai", "s", "w") == ["a", "b", "c"]


async def test_a_fetch_that_grows_old_is_found_in_a_later_round(tmp_path):
    archive = PageArchive(tmp_path)
    await aged(archive, 29, "a")
    swept = [await archive.sweep(NOW + timedelta(days=days)) for days in (0, 0, 2)]
    assert swept == [0, 0, 1]


async def test_there_may_be_no_archive_yet(tmp_path):
    assert await PageArchive(tmp_path / "archive").sweep(NOW) == 0


@pytest.mark.parametrize("part", ["..", ".", "", "a/b", "/etc", "a\\b", "a\x00b", "x..y", ".hidden", "é", "a" * 200])
async def test_a_part_that_would_leave_its_folder_is_refused(tmp_path, part):
    with pytest.raises(InvalidRequest, match="cannot name a folder"):
        await PageArchive(tmp_path).write(ArchiveKey("acme", "openai", part, "w", "l"), sheet(1))
    assert list(tmp_path.iterdir()) == []


async def test_pages_are_kept_before_they_are_handed_out_and_hold_no_credential(serve, tmp_path):
    provider = await serve([Reply(body=page([1], has_more=True, next_page="b")), Reply(body=page([2], has_more=False))])
    archive = PageArchive(tmp_path)
    async with HttpPool(base_urls={"openai": provider.url}, clock=SystemClock(), archive=archive) as pool:
        caller = pool.client("acme", "openai", bearer("sk-admin-CANARY0123456789"))
        kept = [
            len(list(archive.read(KEY)))
            async for _ in caller.pages(
                "/costs", [], CursorToken(), stream=KEY.stream, window=KEY.window, load_id=KEY.load_id
            )
        ]
    assert kept == [1, 2]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"CANARY" in path.read_bytes() for path in files)
    assert not any(b"CANARY" in unpack(path) for path in files if path.suffix == ".zst")


async def test_a_list_that_is_posted_is_kept_with_what_was_asked(serve, tmp_path):
    provider = await serve([Reply(body=page([1], has_more=True, next_page="b")), Reply(body=page([2], has_more=False))])
    asked = []

    def build(params):
        asked.append(dict(params))
        return asked[-1]

    archive = PageArchive(tmp_path)
    async with HttpPool(base_urls={"openai": provider.url}, clock=SystemClock(), archive=archive) as pool:
        pages = pool.client("acme", "openai", bearer("sk-CANARY")).pages(
            "/events", [("size", "2")], CursorToken(), stream=KEY.stream, load_id=KEY.load_id, body=build
        )
        assert [read.params async for read in pages] == [(("size", "2"),), (("size", "2"), ("page", "b"))]
    kept = archive.read(ArchiveKey("acme", "openai", KEY.stream, "all", KEY.load_id))
    assert [dict(read.params) for read in kept] == asked == [{"size": "2"}, {"size": "2", "page": "b"}]
    assert {seen.target for seen in provider.seen} == {"/v1/events"}


def unpack(path: Path) -> bytes:
    with pa.input_stream(path, compression="zstd") as file:
        return file.read()
