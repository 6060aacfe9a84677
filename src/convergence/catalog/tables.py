"""Table schema files: BigQuery's Table resource, or its plain list of fields, to a TableSchema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path
from typing import Any, Final, cast, get_args

from convergence.catalog.schemas import Column, Mode, TableSchema
from convergence.catalog.yamltext import KeyPath, load_text, parse_yaml
from convergence.errors import ConfigError, Fault

MAX_BYTES: Final = 1024 * 1024
MAX_STRUCT_DEPTH: Final = 15
MAX_CLUSTERING: Final = 4
DAY_MS: Final = 86_400_000

LEGACY_TYPES: Final = {
    "INTEGER": "INT64",
    "FLOAT": "FLOAT64",
    "BOOLEAN": "BOOL",
    "RECORD": "STRUCT",
    "DECIMAL": "NUMERIC",
    "BIGDECIMAL": "BIGNUMERIC",
}
_FLAT_TYPES: Final = ("STRING", "BYTES", "INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC", "BOOL", "GEOGRAPHY", "JSON")
TYPES: Final = frozenset((*_FLAT_TYPES, "TIMESTAMP", "DATE", "TIME", "DATETIME", "STRUCT"))
_CLUSTERABLE: Final = TYPES - {"BYTES", "FLOAT64", "JSON", "STRUCT", "TIME"}
_MODES: Final = get_args(Mode)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,299}", re.ASCII)
_RESERVED_PREFIXES: Final = ("_table_", "_file_", "_partition", "_row_timestamp", "__root__", "_colidentifier")
_FIELD_KEYS: Final = ("name", "type", "mode", "description", "fields")
_TABLE_KEYS: Final = ("description", "schema", "timePartitioning", "clustering", "friendlyName", "labels")
_PARTITION_KEYS: Final = ("type", "field", "expirationMs")


def load_table_schema(path: Path) -> TableSchema:
    """The schema in a file; the table's name is the file's stem.

    Raises:
        ConfigError: every fault, with its JSON pointer and line.
    """
    return parse_table_schema(load_text(path, max_bytes=MAX_BYTES), str(path), path.stem)


def parse_table_schema(text: str, path: str, name: str) -> TableSchema:
    """As `load_table_schema`, from text; `path` is named in the faults."""
    value, repeated = _parse_json(text, path)
    reader = _Reader()
    schema = reader.table(value, name)
    faults = [(at, message, expected) for at, message, expected in reader.faults]
    faults += [((), f"the key {key!r} stands twice in one object", "each key once") for key in repeated]
    if faults:
        raise ConfigError(_located(faults, text, path))
    return schema


def _parse_json(text: str, path: str) -> tuple[Any, list[str]]:
    repeated: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        repeated.extend(sorted({key for key in keys if keys.count(key) > 1}))
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=collect), repeated
    except json.JSONDecodeError as error:
        raise ConfigError(Fault(f"is not JSON: {error.msg}", path=path, line=error.lineno, expected="JSON")) from error
    except RecursionError as error:
        raise ConfigError(Fault("is nested too deeply", path=path, expected="a table schema")) from error


def _located(faults: Iterable[tuple[KeyPath, str, str | None]], text: str, path: str) -> list[Fault]:
    """JSON is YAML but for rare escapes, so the YAML reader knows the lines; without it there is the pointer alone."""
    try:
        line = parse_yaml(text, path).line
    except ConfigError:
        return [Fault(message, path, key=_pointer(at), expected=expected) for at, message, expected in faults]
    return [Fault(message, path, line(at), _pointer(at), expected) for at, message, expected in faults]


def _pointer(at: KeyPath) -> str | None:
    return "".join(f"/{part}" for part in at) or None


class _Reader:
    """Notes every fault and returns what can still be read."""

    def __init__(self) -> None:
        self.faults: list[tuple[KeyPath, str, str | None]] = []

    def table(self, value: Any, name: str) -> TableSchema:
        if isinstance(value, list):
            return TableSchema(name, self._columns(value, ()))
        if not isinstance(value, dict):
            self._note((), "is not a table schema", 'a list of fields, or {"schema": {"fields": [...]}}')
            return TableSchema(name, ())
        self._check_keys(value, (), _TABLE_KEYS)
        columns = self._table_columns(value)
        partition_column, expiration = self._partitioning(value.get("timePartitioning"), columns)
        return TableSchema(
            name=name,
            columns=columns,
            description=self._text(value.get("description", ""), ("description",)),
            partition_column=partition_column,
            partition_expiration_days=expiration,
            clustering=self._clustering(value.get("clustering"), columns),
        )

    def _table_columns(self, value: Mapping[str, Any]) -> tuple[Column, ...]:
        schema = value.get("schema")
        if not isinstance(schema, dict):
            self._note(("schema",), "is missing", '{"fields": [...]}')
            return ()
        self._check_keys(schema, ("schema",), ("fields",))
        return self._columns(schema.get("fields"), ("schema", "fields"))

    def _columns(self, value: Any, at: KeyPath, depth: int = 0) -> tuple[Column, ...]:
        if not isinstance(value, list) or not value:
            self._note(at, "has no fields", "a list of at least one field")
            return ()
        if depth > MAX_STRUCT_DEPTH:
            self._note(at, "is nested too deeply", f"at most {MAX_STRUCT_DEPTH} levels of STRUCT")
            return ()
        columns = [self._column(item, (*at, index), depth) for index, item in enumerate(value)]
        self._check_unique([column.name for column in columns], at)
        return tuple(columns)

    def _column(self, value: Any, at: KeyPath, depth: int) -> Column:
        if not isinstance(value, dict):
            self._note(at, "is not a field", '{"name": ..., "type": ...}')
            return Column("", "STRING")
        self._check_keys(value, at, _FIELD_KEYS)
        kind = self._type(value.get("type"), (*at, "type"))
        return Column(
            name=self._name(value.get("name"), (*at, "name")),
            type=kind,
            mode=self._mode(value.get("mode", "NULLABLE"), (*at, "mode")),
            description=self._text(value.get("description", ""), (*at, "description")),
            fields=self._children(value, kind, at, depth),
        )

    def _children(self, value: Mapping[str, Any], kind: str, at: KeyPath, depth: int) -> tuple[Column, ...]:
        if kind == "STRUCT":
            return self._columns(value.get("fields"), (*at, "fields"), depth + 1)
        if value.get("fields"):
            self._note((*at, "fields"), f"{kind} has no fields", "type STRUCT, or no fields")
        return ()

    def _name(self, value: Any, at: KeyPath) -> str:
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            self._note(at, f"{value!r} cannot name a column", "letters, digits and _, not starting with a digit")
            return ""
        if value.lower().startswith(_RESERVED_PREFIXES):
            self._note(at, f"{value!r} is reserved by BigQuery", "another name")
        return value

    def _type(self, value: Any, at: KeyPath) -> str:
        name = value.upper() if isinstance(value, str) else ""
        canonical = LEGACY_TYPES.get(name, name)
        if canonical in TYPES:
            return canonical
        self._note(at, f"{value!r} is not a type" + near(name, [*TYPES, *LEGACY_TYPES]), ", ".join(sorted(TYPES)))
        return "STRING"

    def _mode(self, value: Any, at: KeyPath) -> Mode:
        mode = value.upper() if isinstance(value, str) else value
        if mode in _MODES:
            return cast("Mode", mode)
        self._note(at, f"{value!r} is not a mode", ", ".join(_MODES))
        return "NULLABLE"

    def _partitioning(self, value: Any, columns: Sequence[Column]) -> tuple[str | None, int | None]:
        at = ("timePartitioning",)
        if value is None:
            return None, None
        if not isinstance(value, dict):
            self._note(at, "is not an object", '{"type": "DAY", "field": "usage_date"}')
            return None, None
        self._check_keys(value, at, _PARTITION_KEYS)
        if value.get("type", "DAY") != "DAY":
            self._note((*at, "type"), f"{value['type']!r} is not supported", "DAY")
        return self._partition_column(value.get("field"), columns), self._expiration_days(value.get("expirationMs"))

    def _partition_column(self, value: Any, columns: Sequence[Column]) -> str | None:
        at, dates = (
            ("timePartitioning", "field"),
            [c.name for c in columns if c.type == "DATE" and c.mode != "REPEATED"],
        )
        if value in dates:
            return str(value)
        message = f"{value!r} is not a DATE column of the table" + near(str(value), dates)
        self._note(at, message, ", ".join(dates) or "a DATE column, which the table lacks")
        return None

    def _expiration_days(self, value: Any) -> int | None:
        if value is None:
            return None
        at = ("timePartitioning", "expirationMs")
        milliseconds = int(value) if re.fullmatch(r"[0-9]{1,18}", str(value), re.ASCII) else 0
        if milliseconds <= 0 or milliseconds % DAY_MS:
            self._note(at, f"{value!r} is not a number of days", f"a multiple of {DAY_MS} in text")
        return milliseconds // DAY_MS

    def _clustering(self, value: Any, columns: Sequence[Column]) -> tuple[str, ...]:
        if value is None:
            return ()
        fields = value.get("fields") if isinstance(value, dict) else None
        if not isinstance(fields, list) or not 0 < len(fields) <= MAX_CLUSTERING:
            self._note(("clustering", "fields"), "is not a list of columns", f"1 to {MAX_CLUSTERING} columns")
            return ()
        able = [c.name for c in columns if c.type in _CLUSTERABLE and c.mode != "REPEATED"]
        for index, name in enumerate(fields):
            if name not in able:
                message = f"{name!r} is not a column that can be clustered by" + near(str(name), able)
                self._note(("clustering", "fields", index), message, "a column that is not repeated, FLOAT64 or JSON")
        return tuple(map(str, fields))

    def _text(self, value: Any, at: KeyPath) -> str:
        if not isinstance(value, str):
            self._note(at, f"{value!r} is not text", "text")
        return str(value)

    def _check_keys(self, value: Mapping[str, Any], at: KeyPath, known: Sequence[str]) -> None:
        for key in value:
            if key not in known:
                self._note((*at, key), "is not known here" + near(key, known), ", ".join(known))

    def _check_unique(self, names: Sequence[str], at: KeyPath) -> None:
        seen: dict[str, int] = {}
        for index, name in enumerate(names):
            first = seen.setdefault(name.casefold(), index)
            if name and first != index:
                self._note((*at, index, "name"), f"{name!r} is also field {first}", "each name once, in any case")

    def _note(self, at: KeyPath, message: str, expected: str | None) -> None:
        self.faults.append((at, message, expected))


def near(word: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` where something known is close, else nothing."""
    found = get_close_matches(word, list(dict.fromkeys(known)), n=3, cutoff=0.6)
    closest = [name for name in found if _likeness(word, name) > _likeness(word, found[0]) - 0.1]
    return f"; did you mean {' or '.join(closest)}?" if closest else ""


def _likeness(word: str, other: str) -> float:
    return SequenceMatcher(None, word, other).ratio()
