"""What a step's keys refer to: files beside the pipeline, and SQL.

A value is taken for a file where its key says so (`file`, `sql`, `seed`, ... or a name that ends with one of them) and
it ends like a data file; the value of an `sql` key that does not is the statement itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from convergence.catalog.pipelines import key_fault, raw_steps
from convergence.catalog.templates import build_names, check_names, find_names, is_sql_key
from convergence.catalog.yamltext import KeyPath, YamlText, load_text
from convergence.errors import ConfigError, Fault

_MAX_SQL_BYTES: Final = 1024 * 1024
CheckSql = Callable[[str], Sequence[tuple[int, str]]]
FindPath = Callable[[Path, str], Path]

_FILE_KEYS: Final = frozenset(("file", "files", "path", "paths", "sql", "query", "seed", "seeds", "checks"))
_SUFFIXES: Final = (".sql", ".csv", ".json", ".ndjson", ".yml", ".yaml", ".parquet", ".txt", ".html")


def check_references(document: YamlText, find_path: FindPath, check_sql: CheckSql) -> list[Fault]:
    """Files that are missing or outside, SQL that does not parse or names no template, in the steps of a pipeline."""
    folder, allowed = Path(document.path).parent, build_names(_parameters(document))
    return [
        key_fault(document, ("steps", index, *at), message, expected)
        for index, _, config in raw_steps(document)
        for at, key, text in _texts(config, (), "")
        for message, expected in _check(folder, key, text, find_path, check_sql, allowed)
    ]


def _parameters(document: YamlText) -> Mapping[str, Any]:
    found = document.value.get("parameters") if isinstance(document.value, dict) else None
    return found if isinstance(found, dict) else {}


def _check(
    folder: Path, key: str, text: str, find_path: FindPath, check_sql: CheckSql, allowed: Sequence[str]
) -> Iterator[tuple[str, str | None]]:
    if key.rsplit("_", maxsplit=1)[-1] in _FILE_KEYS and _is_file(text):
        try:
            path = find_path(folder, text)
            if is_sql_key(key) and path.suffix == ".sql":
                statement = load_text(path, max_bytes=_MAX_SQL_BYTES)
                yield from ((f"{text}: {message}", names) for message, names in check_names({key: statement}, allowed))
        except ConfigError as error:
            yield from ((fault.message, fault.expected) for fault in error.faults)
    elif is_sql_key(key):
        for line, message in check_sql(text):
            yield f"is not GoogleSQL, line {line} of the statement: {message}", "a statement that parses"


def _is_file(text: str) -> bool:
    return text.endswith(_SUFFIXES) and len(text.split()) == 1 and "://" not in text and not [*find_names(text)]


def _texts(value: Any, at: KeyPath, key: str) -> Iterator[tuple[KeyPath, str, str]]:
    """(key path, nearest key, text) of every text in a step's keys."""
    if isinstance(value, str):
        yield at, key, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(item, (*at, name), name)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, (*at, index), key)
