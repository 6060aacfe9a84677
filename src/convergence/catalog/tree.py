"""The files below the configs root, and the wall around it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from convergence.catalog.tables import near
from convergence.errors import ConfigError, Fault

DATA_FOLDERS: Final = frozenset(("schemas", "seeds", "sql", "checks", "views", "org_views"))
MAX_DEPTH: Final = 8


@dataclass(frozen=True, slots=True)
class Place:
    """{provider}/{domain}.yml or {provider}/{domain}/{pipeline}.yml."""

    provider: str
    domain: str
    pipeline: str | None = None

    def __str__(self) -> str:
        return "/".join(part for part in (self.provider, self.domain, self.pipeline) if part is not None)


def walk(root: Path) -> Iterator[Path]:
    """Every file below `root` in order of name; hidden ones, and links that lead outside, are left out."""
    yield from _walk(root, root, 0)


def _walk(root: Path, folder: Path, depth: int) -> Iterator[Path]:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith(".") or (entry.is_symlink() and not _is_inside(root, path)):
            continue
        if entry.is_dir():
            yield from _walk(root, path, depth + 1) if depth < MAX_DEPTH else ()
        elif entry.is_file():
            yield path


def is_pipeline(root: Path, path: Path) -> bool:
    """Whether it is a YAML file outside the data folders: it has to be a pipeline then."""
    return path.suffix in {".yml", ".yaml"} and DATA_FOLDERS.isdisjoint(path.relative_to(root).parts[:-1])


def find_place(root: Path, path: Path) -> Place | None:
    """Where a pipeline is looked for, None for any other file."""
    parts = path.relative_to(root).with_suffix("").parts
    return Place(*parts) if path.suffix == ".yml" and 2 <= len(parts) <= 3 else None


def resolve_inside(root: Path, folder: Path, relative: str) -> Path:
    """The file that `relative` names from `folder`, resolved; `root` is resolved already.

    Raises:
        ConfigError: it is absolute, has "..", leads outside the root through a link, or is not a file.
    """
    parts = relative.split("/")
    if not relative.isprintable() or "\\" in relative or relative.startswith(("/", "~")) or ".." in parts:
        raise _refused(relative, "leads outside its folder")
    target = (folder / relative).resolve()
    if not folder.resolve().is_relative_to(root) or not target.is_relative_to(root):
        raise _refused(relative, "leads outside the configs folder")
    if not target.is_file():
        beside = [path.relative_to(folder).as_posix() for path in walk(folder)] if folder.is_dir() else []
        raise _refused(relative, "there is no such file" + near(relative, beside))
    return target


def _is_inside(root: Path, path: Path) -> bool:
    return path.resolve().is_relative_to(root)


def _refused(relative: str, problem: str) -> ConfigError:
    return ConfigError(Fault(f"{relative!r}: {problem}", expected="a file below the folder of the YAML file"))
