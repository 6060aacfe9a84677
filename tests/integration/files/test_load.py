"""files.load: a declared table from whatever the file looks like, each day whole."""

from __future__ import annotations

import io
import zipfile
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.errors import ConfigError, DataQualityError, StepFailed

from .conftest import Loader, write_schema

TABLE = "tool_spend_daily_raw"
CONFIG: dict[str, Any] = {
    "table": TABLE,
    "amount_column": "amount",
    "columns": {
        "usage_date": {"source": "Date"},
        "amount": {"source": "Cost (cents)", "unit": "cents"},
        "currency": {"value": "USD"},
        "details": {"source": "Details"},
    },
}
HEAD = "Date,seats,Cost (cents),Details\n"


@pytest.fixture(autouse=True)
def configs(tmp_path: Path) -> None:
    columns = {
        "usage_date": "DATE",
        "source": "STRING",
        "seats": "INT64",
        "amount": "NUMERIC",
        "currency": "STRING",
        "details": "JSON",
    }
    write_schema(tmp_path / "configs" / "tool", TABLE, columns, ("usage_date", "amount"))


async def amounts(loader: Loader) -> dict[date, Decimal]:
    rows = await loader.rows(f"SELECT usage_date, SUM(amount) AS amount FROM {TABLE} GROUP BY usage_date ORDER BY 1")
    return {row["usage_date"]: row["amount"] for row in rows}


def day(number: int) -> date:
    return date(2026, 11, number)


async def test_units_and_constants_are_declared_and_the_days_of_the_file_replaced(loader: Loader) -> None:
    await loader.load("files.load", (HEAD + '2026-11-01,3,1234.5,"{""a"": 1}"\n2026-11-03,1,100,x\n').encode(), CONFIG)
    done = await loader.load("files.load", (HEAD + "2026-11-03,2,250,\n").encode(), CONFIG)
    rows = await loader.rows(f"SELECT usage_date, seats, currency, details FROM {TABLE} ORDER BY 1")

    assert await amounts(loader) == {day(1): Decimal("12.345"), day(3): Decimal("2.5")}
    assert [(row["seats"], row["currency"]) for row in rows] == [(3, "USD"), (2, "USD")]
    assert done.metadata["file_days"] == ["2026-11-03", "2026-11-03"]


async def test_the_same_file_again_rewrites_nothing(loader: Loader) -> None:
    content = (HEAD + "2026-11-01,3,1234.5,\n").encode()
    await loader.load("files.load", content, CONFIG)
    again = await loader.load("files.load", content, CONFIG)
    assert (again.metadata["days_replaced"], again.metadata["days_unchanged"]) == (0, 1)


async def test_files_that_share_a_table_replace_their_own_rows(loader: Loader) -> None:
    for source, cents in (("a", 100), ("b", 200), ("a", 300)):
        config = {**CONFIG, "part": "source", "columns": {**CONFIG["columns"], "source": {"value": source}}}
        await loader.load("files.load", f"{HEAD}2026-11-01,1,{cents},\n".encode(), config)
    rows = await loader.rows(f"SELECT source, amount FROM {TABLE} ORDER BY source")
    assert [(row["source"], row["amount"]) for row in rows] == [("a", 3), ("b", 2)]


async def test_bad_rows_are_kept_apart_and_too_many_keep_the_old_day(loader: Loader) -> None:
    await loader.load("files.load", (HEAD + "2026-11-01,1,100,\n2026-11-01,1,many,\n").encode(), CONFIG)
    worse = HEAD + "2026-11-01,1,200,\n" + "2026-11-01,1,many,\n" * 6 + "2026-11-02,1,300,\n"
    with pytest.raises(DataQualityError, match="2026-11-01"):
        await loader.load("files.load", worse.encode(), CONFIG)
    rejects = await loader.rows(f"SELECT usage_date, error_path, raw FROM {TABLE}_rejects")

    assert await amounts(loader) == {day(1): 1, day(2): 3}
    assert [(row["usage_date"], row["error_path"]) for row in rejects] == [(day(1), "row 3, Cost (cents)")]
    assert "many" in rejects[0]["raw"]


async def test_the_members_of_an_archive_are_one_load(loader: Loader) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.csv", HEAD + "2026-11-01,1,100,\n")
        archive.writestr("b.ndjson", '{"Date": "2026-11-01", "seats": 2, "Cost (cents)": 200}\n')
        archive.writestr("readme.txt", "not a table")
    done = await loader.load("files.load", content.getvalue(), {**CONFIG, "members": "[ab].*"})
    assert await amounts(loader) == {day(1): 3}
    assert done.metadata["files"] == ["a.csv", "b.ndjson"]


async def test_an_unknown_column_of_the_file_is_told(loader: Loader) -> None:
    done = await loader.load("files.load", b"Date,Cost (cents),Extra\n2026-11-01,100,1\n", CONFIG)
    assert done.warnings == ("columns that were left out: Extra",)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"columns": {"nothing": {"source": "x"}}}, "columns.nothing"),
        ({"amount_column": "nothing"}, "columns.nothing"),
        ({"part": "source"}, "part"),
    ],
)
async def test_a_mapping_that_the_table_does_not_have_is_a_fault_of_the_file(
    loader: Loader, change: dict[str, Any], key: str
) -> None:
    with pytest.raises(ConfigError) as wrong:
        await loader.load("files.load", HEAD.encode(), {**CONFIG, **change})
    assert [fault.key for fault in wrong.value.faults] == [key]


async def test_a_file_without_rows_changes_nothing(loader: Loader) -> None:
    with pytest.raises(StepFailed) as empty:
        await loader.load("files.load", HEAD.encode(), CONFIG)
    assert empty.value.code == "file_without_rows"
    assert await loader.warehouse.tables(loader.org.dataset) == []
