"""The copy of a dataset that users' statements run on: only the organization's tables, swapped in by a rename.

A view that reads another dataset becomes a table in the copy. A copy is made when a commit has come since the last.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from convergence.sql.arithmetic import build_macros
from convergence.tenancy import DatasetRef
from convergence.warehouse.duckdb import schema
from convergence.warehouse.duckdb.compaction import attach_statement
from convergence.warehouse.duckdb.instance import Connection, Instance
from convergence.warehouse.duckdb.tables import quote


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A finished copy, and how far the commits of the datasets it was made from had come.

    `foreign` are its tables that come from views over another dataset. Only a statement that reads one of them has to
    wait for a new copy when that other dataset has moved: run records are written every few seconds.
    """

    path: Path
    commits: Mapping[str, int]
    dataset: str
    foreign: frozenset[str] = frozenset()

    def is_current(self, commits: Mapping[str, int], tables: Iterable[str]) -> bool:
        names = {table.casefold() for table in tables}
        sources = self.commits if self.foreign & names else (self.dataset,)
        return self.path.exists() and all(commits.get(name, 0) == self.commits[name] for name in sources)


class SnapshotMaker:
    """Makes copies under `{data_dir}/readers`."""

    def __init__(self, data_dir: Path, instance: Instance) -> None:
        self.folder = data_dir.absolute() / "readers"
        self._instance = instance
        self._numbers = itertools.count(1)

    def path(self, dataset: DatasetRef) -> Path:
        return self.folder / f"{dataset.name}.duckdb"

    def make(self, cursor: Connection, dataset: DatasetRef, commits: Mapping[str, int]) -> Snapshot:
        """Copy the dataset as it is now; `commits` are the counters as they were before."""
        self.folder.mkdir(parents=True, exist_ok=True)
        alias = f"snapshot_{next(self._numbers)}_{dataset.name}"
        building = self.folder / f".{alias}.duckdb"
        building.unlink(missing_ok=True)
        try:
            views = self._copy(cursor, dataset, alias, building)
            building.replace(self.path(dataset))
        finally:
            building.unlink(missing_ok=True)
            building.with_name(f"{building.name}.wal").unlink(missing_ok=True)
        sources = {dataset.name}.union(*(view.datasets for view in views))
        foreign = frozenset(view.name.casefold() for view in views if set(view.datasets) - {dataset.name})
        seen = {name: commits.get(name, 0) for name in sources}
        return Snapshot(self.path(dataset), seen, dataset.name, foreign)

    def remove(self, dataset: DatasetRef) -> None:
        self.path(dataset).unlink(missing_ok=True)

    def _copy(self, cursor: Connection, dataset: DatasetRef, alias: str, path: Path) -> list[schema.View]:
        views = schema.read_views(cursor, dataset)
        sources = {dataset.name}.union(*(view.datasets for view in views))
        for name in sorted(sources):
            self._instance.attach(cursor, DatasetRef(name))
        cursor.execute(attach_statement(path, DatasetRef(alias)))
        try:
            cursor.execute("BEGIN")
            _fill(cursor, dataset, alias, views)
            cursor.execute("COMMIT")
        except BaseException:
            with suppress(duckdb.Error):
                cursor.execute("ROLLBACK")
            raise
        finally:
            cursor.execute(f'DETACH "{alias}"')
        return views


def _fill(cursor: Connection, dataset: DatasetRef, alias: str, views: list[schema.View]) -> None:
    for statement in build_macros(dataset, into=alias):
        cursor.execute(statement)
    own = {view.name: view for view in views if set(view.datasets) <= {dataset.name}}
    for name, _kind in schema.relations(cursor, dataset):
        if name not in own:
            cursor.execute(f"CREATE TABLE {quote(DatasetRef(alias), name)} AS FROM {quote(dataset, name)}")
    for view in own.values():
        cursor.execute(f"CREATE VIEW {quote(DatasetRef(alias), view.name)} AS {view.text}")
