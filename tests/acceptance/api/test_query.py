"""Questions over the organization's own tables, and attempts at everything else."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
import pytest_asyncio

from .conftest import Api, open_api

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Asker:
    api: Api
    key: str

    async def ask(self, sql: str, **body: Any) -> Any:
        return await self.api.send("POST", "/query/acme", self.key, json={"sql": sql, **body})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def asker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Asker]:
    async with open_api(tmp_path_factory.mktemp("query")) as api:
        await api.bootstrap()
        key = await api.onboard("acme")
        rival = await api.onboard("rival")
        for org, one in (("acme", key), ("rival", rival)):
            (await api.send("POST", f"/integrations/{org}/openai/pricing/reset", one)).raise_for_status()
        yield Asker(api, key)


async def test_rows_with_their_types(asker: Asker) -> None:
    sql = """
        SELECT CAST('0.10' AS NUMERIC) AS cost, 9007199254740993 AS tokens, DATE '2026-01-31' AS day,
               TIMESTAMP '2026-01-31 12:00:00+00' AS moment, TRUE AS yes,
               CAST(NULL AS STRING) AS nothing, [1, 2] AS many
    """
    answer = (await asker.ask(sql)).json()

    assert answer["rows"] == [
        {
            "cost": "0.1",
            "tokens": 9007199254740993,
            "day": "2026-01-31",
            "moment": "2026-01-31T12:00:00Z",
            "yes": True,
            "nothing": None,
            "many": [1, 2],
        }
    ]
    assert [column["type"] for column in answer["columns"]] == [
        *("NUMERIC", "INT64", "DATE", "TIMESTAMP", "BOOL", "STRING", "ARRAY<INT64>")
    ]
    assert (answer["row_count"], answer["truncated"]) == (1, False)
    assert answer["duration_ms"] >= 0
    assert answer["bytes_processed"] is None


@pytest.mark.parametrize("table", ["openai_pricing", "acme_dev.openai_pricing", "`acme_dev`.`openai_pricing`"])
async def test_a_table_is_named_bare_or_with_its_dataset(asker: Asker, table: str) -> None:
    answer = await asker.ask(f"SELECT COUNT(*) AS prices FROM {table}")

    assert answer.json()["rows"][0]["prices"] > 10


async def test_more_rows_than_asked_for_are_cut_and_it_says_so(asker: Asker) -> None:
    sql = "SELECT number FROM UNNEST(GENERATE_ARRAY(1, 10)) AS number ORDER BY number"
    answers = [(await asker.ask(sql, max_rows=most)).json() for most in (3, 10, 11)]

    assert [(one["row_count"], one["truncated"]) for one in answers] == [(3, True), (10, False), (10, False)]
    assert [row["number"] for row in answers[0]["rows"]] == [1, 2, 3]


@pytest.mark.parametrize(
    ("value", "sql", "expected"),
    [
        ("x'; DROP TABLE openai_pricing; --", "SELECT @value AS value", "x'; DROP TABLE openai_pricing; --"),
        (7, "SELECT @value + 1 AS value", 8),
        (True, "SELECT @value AS value", True),
        (0.1, "SELECT CAST(@value AS NUMERIC) + CAST('0.2' AS NUMERIC) AS value", "0.3"),
        (["a", "b"], "SELECT COUNT(*) AS value FROM UNNEST(['a', 'b', 'c']) AS one WHERE one IN UNNEST(@value)", 2),
        ("2026-01-31", "SELECT CAST(@value AS DATE) AS value", "2026-01-31"),
        (None, "SELECT @value IS NULL AS value", True),
    ],
)
async def test_parameters_are_values(asker: Asker, value: Any, sql: str, expected: Any) -> None:
    answer = await asker.ask(sql, params={"value": value})

    assert answer.json()["rows"] == [{"value": expected}]


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE openai_pricing",
        "DELETE FROM openai_pricing WHERE TRUE",
        "INSERT INTO openai_pricing (model_id) VALUES ('x')",
        "UPDATE openai_pricing SET currency = 'EUR' WHERE TRUE",
        "CREATE TABLE t AS SELECT 1 AS a",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE openai_pricing",
        "SELECT * FROM rival_dev.openai_pricing",
        "SELECT * FROM organizations.org_api_keys",
        "SELECT * FROM organizations.org_integration_credentials",
        "SELECT * FROM org_api_keys",
        "SELECT * FROM rival_dev.INFORMATION_SCHEMA.TABLES",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM duckdb_settings()",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_text('/proc/self/environ')",
        "SELECT getenv('CA_ROOT_API_KEY')",
        "ATTACH '/tmp/x.duckdb'",
        "COPY openai_pricing TO '/tmp/x.csv'",
        "PRAGMA database_list",
        "SET memory_limit = '100GB'",
        "WITH rival_dev AS (SELECT 1) SELECT * FROM rival_dev.openai_pricing",
        "SELECT * FROM _load_scopes",
        "SELECT * FROM nothing",
        "SELECT nothing FROM openai_pricing",
        "SELEC 1",
        "-- nothing",
        "SELECT @missing",
        "SELECT CAST('x' AS INT64)",
    ],
)
async def test_anything_else_is_rejected_with_a_reason(asker: Asker, sql: str) -> None:
    answer = await asker.ask(sql)

    assert (answer.status_code, answer.json()["code"]) == (400, "query_rejected")
    assert answer.json()["detail"]
    assert "rival_dev" not in answer.json()["detail"] or "rival_dev" in sql


@pytest.mark.parametrize(
    "body",
    [
        {"sql": ""},
        {"sql": 1},
        {"sql": "SELECT 1\0"},
        {"sql": "SELECT " + "1," * 60_000 + "1"},
        {"max_rows": 0},
        {"max_rows": 10_001},
        {"max_rows": 1_000_001, "format": "csv"},
        {"max_rows": "10"},
        {"max_rows": True},
        {"format": "xml"},
        {"params": {"a b": 1}},
        {"params": {"a": {"b": 1}}},
        {"params": {"a": 2**63}},
        {"params": [1]},
        {"dataset": "rival_dev"},
    ],
)
async def test_a_body_that_cannot_be(asker: Asker, body: dict[str, Any]) -> None:
    answer = await asker.api.send("POST", "/query/acme", asker.key, json={"sql": "SELECT 1", **body})

    assert answer.status_code == 422


async def test_csv_arrow_and_parquet(asker: Asker) -> None:
    sql = (
        "SELECT number, CAST(number AS NUMERIC) / 8 AS part FROM UNNEST(GENERATE_ARRAY(1, 3)) AS number ORDER BY number"
    )
    text, streamed, parquet = [await asker.ask(sql, format=name, max_rows=2) for name in ("csv", "arrow", "parquet")]

    rows = [["number", "part"], ["1", "0.125"], ["2", "0.25"]]
    assert list(csv.reader(io.StringIO(text.text))) == rows
    for table in (
        pa.ipc.open_stream(streamed.content).read_all(),
        pyarrow.parquet.read_table(io.BytesIO(parquet.content)),
    ):
        assert [[str(row["number"]), f"{row['part']:f}".rstrip("0")] for row in table.to_pylist()] == rows[1:]
    assert {one.headers["X-Truncated"] for one in (text, streamed, parquet)} == {"true"}
    assert {one.headers["X-Row-Count"] for one in (text, streamed, parquet)} == {"2"}


async def test_what_was_just_written_is_seen(asker: Asker) -> None:
    price = {"model_id": "brand-new", "input_per_million": "1"}
    (await asker.api.send("POST", "/integrations/acme/openai/pricing", asker.key, json=price)).raise_for_status()
    answer = await asker.ask("SELECT COUNT(*) AS found FROM openai_pricing WHERE model_id = 'brand-new'")

    assert answer.json()["rows"] == [{"found": 1}]


async def test_its_own_profile_and_no_one_elses(asker: Asker) -> None:
    answer = await asker.ask("SELECT DISTINCT org_slug FROM org_comprehensive_view")

    assert answer.json()["rows"] == [{"org_slug": "acme"}]
