"""A response body, decoded as it streams in and never above its cap."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

from convergence.errors import ProviderMisbehaved, ProviderUnavailable, TooLarge


async def read_body(chunks: AsyncIterator[bytes], encoding: str, cap: int) -> bytes:
    """The decoded body. A few kilobytes of gzip can stand for gigabytes, so the decoder is told where to stop.

    Raises:
        TooLarge: more than `cap` bytes; ask for a smaller page.
        ProviderUnavailable: it ends early.
        ProviderMisbehaved: an encoding that was not asked for.
    """
    match encoding.strip().lower():
        case "" | "identity":
            return await _read_plain(chunks, cap)
        case "gzip" | "x-gzip":
            return await _read_gzip(chunks, cap)
        case _:
            raise ProviderMisbehaved(
                "the page has a content encoding that was not asked for", code="content_encoding_unexpected"
            )


async def _read_plain(chunks: AsyncIterator[bytes], cap: int) -> bytes:
    parts, size = [], 0
    async for chunk in chunks:
        size += len(chunk)
        _check_size(size, cap)
        parts.append(chunk)
    return b"".join(parts)


async def _read_gzip(chunks: AsyncIterator[bytes], cap: int) -> bytes:
    decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    parts, size = [], 0
    async for chunk in chunks:
        part = _decompress(decoder, chunk, cap + 1 - size)
        size += len(part)
        _check_size(size, cap)
        parts.append(part)
    if not decoder.eof:
        raise ProviderUnavailable("the page's gzip stream ends early", code="page_truncated")
    return b"".join(parts)


def _decompress(decoder: zlib._Decompress, chunk: bytes, room: int) -> bytes:
    try:
        return decoder.decompress(chunk, room)
    except zlib.error as error:
        raise ProviderUnavailable("the page's gzip stream is broken", code="page_truncated") from error


def _check_size(size: int, cap: int) -> None:
    if size > cap:
        raise TooLarge(
            f"the page is larger than {cap} bytes", code="page_too_large", hint="Ask for fewer days or rows at a time."
        )
