"""The publishing transaction alone, without the lock that the warehouse puts before it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from convergence.errors import LeaseLost, WarehouseBusy
from convergence.kit.window import Window
from convergence.sql.arithmetic import build_macros
from convergence.tenancy import OrgScope
from convergence.warehouse import Claim, WriteMode
from convergence.warehouse.duckdb.publish import Load, publish, retry_conflicts
from convergence.warehouse.duckdb.schema import ensure_table
from convergence.warehouse.duckdb.tables import build_internal

from .conftest import DAY, SCHEMA, batch

TABLE = OrgScope("acme").table("usage")
WRITERS = 6


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"ATTACH '{tmp_path}/acme_dev.duckdb' AS acme_dev")
    for statement in (*build_internal(TABLE.dataset), *build_macros(TABLE.dataset)):
        connection.execute(statement)
    ensure_table(connection, TABLE, SCHEMA)
    yield connection
    connection.close()


def load(number: int, claim: Claim | None) -> Load:
    return Load(
        table=TABLE,
        schema=SCHEMA,
        source=pa.Table.from_batches([batch(*[number] * 100)]),
        rows=100,
        mode=WriteMode.REPLACE_WINDOW,
        window=Window.day(DAY),
        claim=claim,
    )


@pytest.mark.parametrize("turn", range(5))
def test_first_loads_in_parallel_leave_one_set_of_rows(engine: duckdb.DuckDBPyConnection, turn: int) -> None:
    together = threading.Barrier(WRITERS)

    def write(number: int) -> str:
        with engine.cursor() as cursor:
            together.wait()
            try:
                publish(cursor, load(number, Claim("s", f"run-{number}", number, f"load-{number}")))
            except (LeaseLost, WarehouseBusy) as error:
                return type(error).__name__
            return "published"

    with ThreadPoolExecutor(WRITERS) as pool:
        outcomes = list(pool.map(write, range(WRITERS)))

    rows = engine.sql("SELECT n, count(*) FROM acme_dev.usage GROUP BY n").fetchall()
    fences = engine.sql("SELECT fence, rows FROM acme_dev._load_scopes").fetchall()
    assert "published" in outcomes
    assert rows == [(fences[0][0], 100)]


def test_a_conflict_without_end_is_busy() -> None:
    attempts = []

    def lose() -> None:
        attempts.append(1)
        raise duckdb.TransactionException("Conflict on update!")

    with pytest.raises(WarehouseBusy, match="another writer"):
        retry_conflicts(lose)

    assert len(attempts) == 6


def test_another_error_is_not_tried_again() -> None:
    attempts = []

    def fail() -> None:
        attempts.append(1)
        raise duckdb.BinderException("x")

    with pytest.raises(duckdb.BinderException):
        retry_conflicts(fail)

    assert len(attempts) == 1
