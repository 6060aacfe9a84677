"""A dataset's file written anew, since blocks that DuckDB has freed keep their bytes.

Copy, detach, rename, attach. The dataset's file is whole at every point: the old one up to the rename, the new one from
then on. A file beside it says that a compaction is owed, and outlives a crash.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb

from convergence.errors import StatementFailed, WarehouseBusy
from convergence.tenancy import DatasetRef
from convergence.warehouse.duckdb.tables import quote

Connection = duckdb.DuckDBPyConnection

STORAGE_VERSION: Final = "v1.5.0"


def owed_mark(path: Path) -> Path:
    """The file that says so."""
    return path.with_suffix(".compaction-owed")


def copy_path(path: Path) -> Path:
    return path.with_suffix(".compacting")


def wal_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")


def owe(path: Path) -> None:
    """Leave the mark, on the disk before anything is deleted."""
    with _files():
        owed_mark(path).touch(mode=0o600)
        _sync_folder(path.parent)


def is_owed(path: Path) -> bool:
    return owed_mark(path).exists()


def settle(path: Path) -> None:
    owed_mark(path).unlink(missing_ok=True)


def remove_files(path: Path) -> None:
    """All that there is of a dataset, which is detached."""
    discard_copy(path)
    for file in (path, wal_path(path), owed_mark(path)):
        file.unlink(missing_ok=True)


def discard_copy(path: Path) -> None:
    """Remove what an interrupted compaction left."""
    copy = copy_path(path)
    for file in (copy, wal_path(copy)):
        file.unlink(missing_ok=True)


def copy_dataset(cursor: Connection, dataset: DatasetRef, path: Path) -> None:
    """Write all of the attached dataset to a file beside its own. Nobody may write to it meanwhile.

    Raises:
        WarehouseBusy: the copy is not whole; it was removed.
    """
    with _files():
        discard_copy(path)
    target = DatasetRef(f"compacting_{dataset.name}")
    copy_database(cursor, dataset, target, copy_path(path), check=True)
    if wal_path(copy_path(path)).exists():
        discard_copy(path)
        raise WarehouseBusy(f"the copy of dataset {dataset.name} was not finished", hint="Check the disk's free space.")


def copy_database(
    cursor: Connection, dataset: DatasetRef, target: DatasetRef, path: Path, *, check: bool = False
) -> None:
    """Write all of the attached dataset to the file at `path`, attached as `target` for as long as that takes."""
    cursor.execute(attach_statement(path, target))
    try:
        cursor.execute(f'COPY FROM DATABASE "{dataset.name}" TO "{target.name}"')
        if check:
            _check_same(cursor, dataset, target)
    finally:
        cursor.execute(f'DETACH "{target.name}"')


def put_in_place(path: Path) -> None:
    """Rename the finished copy over the dataset's file, which is detached.

    Raises:
        WarehouseBusy: the old file has not been closed; it stays.
    """
    if wal_path(path).exists():
        # Beside another file this log would be replayed into it.
        raise WarehouseBusy(f"{path.name} is still in use", hint="Try again.")
    with _files():
        copy_path(path).replace(path)
        _sync_folder(path.parent)


def attach_statement(path: Path, dataset: DatasetRef) -> str:
    """Attach the file as a dataset, in the format that the engine before this one reads too."""
    quoted = str(path).replace("'", "''")
    return f"ATTACH '{quoted}' AS \"{dataset.name}\" (STORAGE_VERSION '{STORAGE_VERSION}')"


def _check_same(cursor: Connection, dataset: DatasetRef, copy: DatasetRef) -> None:
    """Every table and view with all of its rows: what is not there would be lost for good."""
    before, after = _contents(cursor, dataset), _contents(cursor, copy)
    if before != after:
        names = ", ".join(sorted(name for name in before if before[name] != after.get(name)))
        raise StatementFailed(f"the copy of dataset {dataset.name} lacks rows of {names}", hint="Report this defect.")


def _contents(cursor: Connection, dataset: DatasetRef) -> dict[str, int | None]:
    """Rows of each table; None for a view."""
    tables = _names(cursor, "SELECT table_name FROM duckdb_tables() WHERE database_name = $name", dataset)
    views = _names(cursor, "SELECT view_name FROM duckdb_views() WHERE database_name = $name AND NOT internal", dataset)
    counts = {
        name: int(cursor.execute(f"SELECT count(*) FROM {quote(dataset, name)}").fetchall()[0][0]) for name in tables
    }
    return {**counts, **dict.fromkeys(views)}


def _names(cursor: Connection, query: str, dataset: DatasetRef) -> list[str]:
    return [name for (name,) in cursor.execute(query, {"name": dataset.name}).fetchall()]


@contextmanager
def _files() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WarehouseBusy(
            f"a file of the warehouse cannot be written: {error.strerror}",
            hint="Check the disk: free space and permissions.",
        ) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
