"""A multipart form with one file, read as it arrives: the file never lies in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from convergence.errors import InvalidRequest

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_MOST_FIELDS: Final = 8
_MOST_FIELD_BYTES: Final = 1024
_HINT: Final = "Send multipart/form-data with one part `file` that has a filename: curl -F file=@export.zip."


class FileForm:
    """`fields` and `filename` are whole when the file has been read to its end.

    Raises:
        InvalidRequest: not a multipart form with exactly one file.
    """

    def __init__(self, request: Request) -> None:
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self._request = request
        self._parser = MultipartParser(_boundary(request), self._callbacks())
        self._pieces: deque[bytes] = deque()
        self._header: tuple[bytes, bytes] = (b"", b"")
        self._disposition = b""
        self._name = ""
        self._value: bytearray | None = None
        self._is_whole = False

    async def read_file(self) -> AsyncGenerator[bytes]:
        """The bytes of the file; the fields behind it are read too."""
        try:
            async with aclosing(self._request.stream()) as chunks:
                async for chunk in chunks:
                    self._parser.write(chunk)
                    while self._pieces:
                        yield self._pieces.popleft()
        except FormParserError:
            raise InvalidRequest("the body is not a multipart form", hint=_HINT) from None
        if not self._is_whole:
            raise InvalidRequest("the form ends early", code="form_incomplete", hint="Send it again.")
        if self.filename is None:
            raise InvalidRequest("the form has no file", code="file_missing", hint=_HINT)

    def _callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin_part,
            "on_header_begin": self._begin_header,
            "on_header_field": self._read_header_name,
            "on_header_value": self._read_header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._open_part,
            "on_part_data": self._read_data,
            "on_part_end": self._end_part,
            "on_end": self._end_form,
        }

    def _begin_part(self) -> None:
        self._disposition = b""

    def _begin_header(self) -> None:
        self._header = (b"", b"")

    def _read_header_name(self, data: bytes, start: int, end: int) -> None:
        name, value = self._header
        self._header = (name + data[start:end], value)

    def _read_header_value(self, data: bytes, start: int, end: int) -> None:
        name, value = self._header
        self._header = (name, value + data[start:end])

    def _end_header(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = value

    def _open_part(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = _text(options.get(b"name", b""))
        if b"filename" in options:
            self._open_file(_text(options[b"filename"]))
            return
        if len(self.fields) >= _MOST_FIELDS or self._name in self.fields or not self._name:
            raise InvalidRequest("the form has too many fields, one twice, or one without a name", hint=_HINT)
        self._value = bytearray()

    def _open_file(self, filename: str) -> None:
        if self.filename is not None or self._name != "file":
            raise InvalidRequest("the form's one file is not its part `file`", hint=_HINT)
        self.filename, self._value = filename, None

    def _read_data(self, data: bytes, start: int, end: int) -> None:
        if self._value is None:
            self._pieces.append(bytes(data[start:end]))
            return
        self._value += data[start:end]
        if len(self._value) > _MOST_FIELD_BYTES:
            raise InvalidRequest(f"the field {self._name[:50]!r} is longer than {_MOST_FIELD_BYTES} bytes")

    def _end_part(self) -> None:
        if self._value is not None:
            self.fields[self._name], self._value = _text(self._value), None

    def _end_form(self) -> None:
        self._is_whole = True


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise InvalidRequest("the body is not declared as a multipart form", hint=_HINT)
    return options[b"boundary"]


def _text(raw: bytes | bytearray) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("a name or field of the form is not UTF-8", hint=_HINT) from None
