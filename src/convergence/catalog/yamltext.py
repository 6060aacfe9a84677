"""YAML text as plain values with the line of every key, for files that may be hostile.

Only what a pipeline needs is read: mappings, sequences, scalars. Anchors, aliases, tags, merge keys and a second
document are refused, as are duplicate keys, deep nesting and large files. A plain scalar is null, true, false, a whole
number or a decimal only where nobody could read it as something else:

    text         YAML 1.1     here
    no, on, y    False, True  "no", "on", "y"
    12:30:45     45045        "12:30:45"
    010          8            "010"
    1.10         1.1          Decimal("1.10")
    2026-01-31   a date       "2026-01-31"
    1e3, 0x1F    1000.0, 31   "1e3", "0x1F"
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import yaml

from convergence.errors import ConfigError, Fault

MAX_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 32
MAX_NODES: Final = 20_000

KeyPath = tuple[str | int, ...]

_WHOLE: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,37})", re.ASCII)
_DECIMAL: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,37})\.[0-9]{1,38}", re.ASCII)
_CONSTANTS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class YamlText:
    """A parsed file. `lines` has the line, from 1, of every key and list item by its path."""

    path: str
    text: str
    value: Any
    lines: Mapping[KeyPath, int]

    def line(self, key_path: KeyPath) -> int:
        """The line of that key, or of the nearest thing around it."""
        while key_path and key_path not in self.lines:
            key_path = key_path[:-1]
        return self.lines.get(key_path, 1)


def load_yaml(path: Path) -> YamlText:
    """Read and parse a file.

    Raises:
        ConfigError: it cannot be read, is not UTF-8, or is refused; see `parse_yaml`.
    """
    return parse_yaml(load_text(path, max_bytes=MAX_BYTES), str(path))


def load_text(path: Path, *, max_bytes: int) -> str:
    """The UTF-8 text of a file, without a byte order mark.

    Raises:
        ConfigError: it cannot be read, is larger, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(max_bytes + 1)
    except OSError as error:
        raise ConfigError(Fault(f"cannot be read: {error.strerror}", path=str(path))) from error
    if len(raw) > max_bytes:
        raise ConfigError(Fault("is too large", path=str(path), expected=f"at most {max_bytes} bytes"))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError(Fault("is not UTF-8", path=str(path), line=line, expected="UTF-8 text")) from error


def parse_yaml(text: str, path: str) -> YamlText:
    """Parse one document; `path` is named in the faults.

    Raises:
        ConfigError: every refused thing that parsing could go past, or the one that ended it.
    """
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise ConfigError(Fault("is too large", path=path, expected=f"at most {MAX_BYTES} bytes"))
    builder = _Builder(path)
    try:
        value = builder.build(yaml.parse(text, Loader=_LOADER))
    except yaml.YAMLError as error:
        builder.faults.append(_syntax_fault(error, path))
    if builder.faults:
        raise ConfigError(builder.faults)
    return YamlText(path, text, value, builder.lines)


def _syntax_fault(error: yaml.YAMLError, path: str) -> Fault:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be parsed"
    return Fault(f"is not YAML: {problem}", path=path, line=mark.line + 1 if mark else None, expected="valid YAML")


class _Builder:
    """Plain values out of parser events, within the limits."""

    def __init__(self, path: str) -> None:
        self.faults: list[Fault] = []
        self.lines: dict[KeyPath, int] = {}
        self._path = path
        self._events: Iterator[Any] = iter(())

    def build(self, events: Iterator[Any]) -> Any:
        self._events = self._checked(events)
        self._next()  # stream start
        if isinstance(self._next(), yaml.StreamEndEvent):
            return None
        value = self._value(self._next(), ())
        self._next()  # document end
        if not isinstance(event := self._next(), yaml.StreamEndEvent):
            raise self._refused(event, "has a second document", "one document a file")
        return value

    def _next(self) -> Any:
        return next(self._events)

    def _checked(self, events: Iterator[Any]) -> Iterator[Any]:
        depth = 0
        for count, event in enumerate(events):
            if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                depth += 1
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                depth -= 1
            if depth > MAX_DEPTH:
                raise self._refused(event, "is nested too deeply", f"at most {MAX_DEPTH} levels")
            if count > MAX_NODES:
                raise self._refused(event, "has too many nodes", f"at most {MAX_NODES}")
            yield event

    def _value(self, event: Any, at: KeyPath) -> Any:
        self.lines.setdefault(at, event.start_mark.line + 1)
        self._check_node(event, at)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(at)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(at)
        if isinstance(event, yaml.AliasEvent):
            return None
        return _scalar(event)

    def _check_node(self, event: Any, at: KeyPath) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._note(event, at, f"*{event.anchor} is an alias", "the value itself, written out")
            return
        if event.anchor is not None:
            self._note(event, at, f"&{event.anchor} is an anchor", "no anchors and aliases")
        if event.tag is not None:
            self._note(event, at, f"{event.tag} is a tag", "no tags")

    def _sequence(self, at: KeyPath) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._value(event, (*at, len(items))))
        return items

    def _mapping(self, at: KeyPath) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._key(event, at)
            if key in items:
                first = self.lines[*at, key]
                self._note(event, (*at, key), f"stands here and on line {first}", "each key once")
                self._value(self._next(), (*at, key, -1))
                continue
            self.lines[*at, key] = event.start_mark.line + 1
            items[key] = self._value(self._next(), (*at, key))
        return items

    def _key(self, event: Any, at: KeyPath) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise self._refused(event, "has a key that is not text", "key: value")
        self._check_node(event, at)
        if event.value == "<<" and event.implicit[0]:
            self._note(event, at, "<< merges another mapping", "the keys themselves, written out")
        return str(event.value)

    def _note(self, event: Any, at: KeyPath, message: str, expected: str) -> None:
        line = event.start_mark.line + 1
        self.faults.append(Fault(message, path=self._path, line=line, key=dotted(at) or None, expected=expected))

    def _refused(self, event: Any, message: str, expected: str) -> ConfigError:
        fault = Fault(message, path=self._path, line=event.start_mark.line + 1, expected=expected)
        return ConfigError([*self.faults, fault])


def dotted(key_path: KeyPath) -> str:
    """A key path as people write it: steps.0.timeout_minutes."""
    return ".".join(map(str, key_path))


def _scalar(event: Any) -> Any:
    text: str = event.value
    if not event.implicit[0]:  # quoted or a block: text as it is
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    return Decimal(text) if _DECIMAL.fullmatch(text) else text
