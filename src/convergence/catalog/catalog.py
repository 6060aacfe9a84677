"""What lies below the configs root: pipelines, table schemas, SQL, seeds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from convergence.catalog.parsed import ParsedFiles
from convergence.catalog.pipelines import CheckStep, Pipeline, check_steps, load_pipeline
from convergence.catalog.references import CheckSql, check_references
from convergence.catalog.schemas import TableSchema
from convergence.catalog.sqltext import check_sql
from convergence.catalog.tables import load_table_schema, near
from convergence.catalog.tree import Place, find_place, is_pipeline, resolve_inside, walk
from convergence.catalog.yamltext import load_text, load_yaml
from convergence.errors import ConfigError, Conflict, Fault, NotFound

log = structlog.get_logger(__name__)

MAX_TEXT_BYTES: Final = 16 * 1024 * 1024


class Catalog:
    """Reads below `root` and nowhere else. A file is parsed again when its time or size has changed.

    Raises:
        ConfigError: `root` is not a folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        if not self.root.is_dir():
            raise ConfigError(Fault("is not a folder", path=str(root), expected="the folder with the pipelines"))
        self._pipelines = ParsedFiles[Pipeline]()
        self._schema_places: dict[str, Path] = {}
        self._schemas = ParsedFiles[TableSchema]()

    def pipelines(self) -> list[Pipeline]:
        """Every pipeline that can be read, by path. One broken file does not stop the others; see `faults`."""
        return [found for path in self._pipeline_paths() if isinstance(found := self._try_load(path), Pipeline)]

    def find(self, pipeline_id: str) -> Pipeline:
        """The pipeline of that pipeline_id, or else of that file stem.

        Raises:
            NotFound: none.
            Conflict: more than one; `fields["candidates"]` has their locations.
            ConfigError: the file of that stem is broken.
        """
        known = self.pipelines()
        found = [one for one in known if one.pipeline_id == pipeline_id]
        found = found or [one for one in known if one.path.stem == pipeline_id]
        if len(found) > 1:
            raise _ambiguous(pipeline_id, found)
        if not found:
            self._raise_if_broken(pipeline_id)
            raise _not_found(pipeline_id, [name for one in known for name in (one.pipeline_id, one.path.stem)])
        return found[0]

    def find_by_path(self, provider: str, domain: str, pipeline: str | None = None) -> Pipeline:
        """The pipeline of {provider}/{domain}.yml or {provider}/{domain}/{pipeline}.yml.

        The names are compared with what was discovered, never joined to a path.

        Raises:
            NotFound: none there.
            ConfigError: the file is broken.
        """
        wanted = Place(provider, domain, pipeline)
        places = {find_place(self.root, path): path for path in self._pipeline_paths()}
        if wanted not in places:
            raise _not_found(str(wanted), map(str, places))
        return self._load(places[wanted])

    def schema(self, name: str) -> TableSchema:
        """The table schema of `schemas/{name}.json`, wherever that folder is.

        Raises:
            ConfigError: none, more than one, or broken.
        """
        path = self._schema_places.get(name)
        if path is None or not path.is_file():
            path = self._schema_places[name] = self._find_schema(name)
        return self._schemas.get(path, lambda: load_table_schema(path))

    def schema_names(self) -> list[str]:
        return sorted({path.stem for path in self._schema_paths()})

    def path(self, relative_to: Path, path: str) -> Path:
        """The file named from the folder `relative_to`, resolved.

        Raises:
            ConfigError: it is not there, or would lead outside the root.
        """
        return resolve_inside(self.root, relative_to, path)

    def text(self, relative_to: Path, path: str) -> str:
        """The UTF-8 text of `path(relative_to, path)`."""
        return load_text(self.path(relative_to, path), max_bytes=MAX_TEXT_BYTES)

    def seed(self, path: str) -> str:
        """The text of a seed file, named from the root: openai/seeds/pricing.csv."""
        return self.text(self.root, path)

    def faults(self, check_step: CheckStep, check_sql: CheckSql = check_sql) -> list[Fault]:
        """Everything wrong below the root, in order of path and line."""
        found = [
            *self._pipeline_faults(check_step, check_sql),
            *self._schema_faults(),
            *self._sql_faults(check_sql),
        ]
        return sorted(found, key=lambda fault: (fault.path or "", fault.line or 0))

    def _pipeline_paths(self) -> list[Path]:
        return [path for path in walk(self.root) if is_pipeline(self.root, path) and find_place(self.root, path)]

    def _schema_paths(self) -> list[Path]:
        return [path for path in walk(self.root) if path.suffix == ".json" and path.parent.name == "schemas"]

    def _load(self, path: Path) -> Pipeline:
        place = find_place(self.root, path)
        if place is None:
            raise ConfigError(_misplaced(path))
        return self._pipelines.get(path, lambda: load_pipeline(path, place))

    def _try_load(self, path: Path) -> Pipeline | ConfigError:
        is_news = self._pipelines.has_changed(path)
        try:
            return self._load(path)
        except ConfigError as error:
            if is_news:
                log.warning("a pipeline file is left out", path=str(path), faults=[str(one) for one in error.faults])
            return error

    def _raise_if_broken(self, stem: str) -> None:
        for path in self._pipeline_paths():
            if path.stem == stem:
                self._load(path)

    def _find_schema(self, name: str) -> Path:
        paths = [path for path in self._schema_paths() if path.stem == name]
        if not paths:
            raise ConfigError(Fault(f"there is no table schema {name!r}" + near(name, self.schema_names())))
        if len(paths) > 1:
            raise ConfigError(_twice(paths, f"table schema {name!r}"))
        return paths[0]

    def _pipeline_faults(self, check_step: CheckStep, check_sql: CheckSql) -> Iterator[Fault]:
        by_id: dict[str, list[Path]] = {}
        for path in walk(self.root):
            if is_pipeline(self.root, path):
                yield from self._file_faults(path, check_step, check_sql)
                with suppress(ConfigError):
                    by_id.setdefault(self._load(path).pipeline_id, []).append(path)
        for pipeline_id, paths in by_id.items():
            yield from _twice(paths, f"pipeline_id {pipeline_id!r}")

    def _file_faults(self, path: Path, check_step: CheckStep, check_sql: CheckSql) -> Iterator[Fault]:
        """A broken file is checked as far as it can be read, so that all of it is told at once."""
        try:
            self._load(path)
        except ConfigError as error:
            yield from error.faults
        try:
            document = load_yaml(path)
        except ConfigError:
            return
        yield from check_steps(document, check_step)
        yield from check_references(document, self.path, check_sql)

    def _schema_faults(self) -> Iterator[Fault]:
        by_name: dict[str, list[Path]] = {}
        for path in self._schema_paths():
            by_name.setdefault(path.stem, []).append(path)
            try:
                load_table_schema(path)
            except ConfigError as error:
                yield from error.faults
        for name, paths in by_name.items():
            yield from _twice(paths, f"table schema {name!r}")

    def _sql_faults(self, check_sql: CheckSql) -> Iterator[Fault]:
        for path in walk(self.root):
            if path.suffix == ".sql":
                yield from _sql_file_faults(path, check_sql)


def _sql_file_faults(path: Path, check_sql: CheckSql) -> Iterator[Fault]:
    try:
        text = load_text(path, max_bytes=MAX_TEXT_BYTES)
    except ConfigError as error:
        yield from error.faults
        return
    for line, message in check_sql(text):
        yield Fault(f"is not GoogleSQL: {message}", path=str(path), line=line, expected="a statement that parses")


def _misplaced(path: Path) -> Fault:
    expected = "{provider}/{domain}.yml or {provider}/{domain}/{pipeline}.yml"
    return Fault("a pipeline is not looked for here", path=str(path), expected=expected)


def _twice(paths: list[Path], what: str) -> list[Fault]:
    return [Fault(f"{what} is also in {paths[0]}", path=str(path), expected="one of each") for path in paths[1:]]


def _ambiguous(name: str, found: list[Pipeline]) -> Conflict:
    candidates = [one.location for one in found]
    return Conflict(
        f"more than one pipeline is called {name!r}: {', '.join(candidates)}",
        code="pipeline_ambiguous",
        hint="Run one of them by its path, or by its pipeline_id.",
        fields={"candidates": candidates},
    )


def _not_found(name: str, known: Iterable[str]) -> NotFound:
    message = f"there is no pipeline {name!r}" + near(name, known)
    return NotFound(message, hint="GET /pipelines, or convergence validate, lists them.")
