"""What a user's statement may not be, and what it may."""

from __future__ import annotations

import pytest

from convergence.errors import QueryRejected
from convergence.sql.guard import MAX_CHARACTERS, check_select
from convergence.tenancy import OrgScope

DATASET = OrgScope("acme").dataset

ACCEPTED: list[tuple[str, set[str]]] = [
    ("SELECT 1", set()),
    ("SELECT * FROM costs", {"costs"}),
    ("SELECT * FROM acme_dev.costs;", {"costs"}),
    ("SELECT * FROM `acme_dev.costs` c JOIN usage u USING (day)", {"costs", "usage"}),
    ("WITH x AS (SELECT * FROM costs) SELECT * FROM x", {"costs"}),
    ("WITH costs AS (SELECT * FROM costs) SELECT * FROM costs", {"costs"}),
    ("(SELECT 1 FROM a) UNION ALL (SELECT 2 FROM b)", {"a", "b"}),
    ("SELECT (SELECT MAX(x) FROM b) FROM a WHERE EXISTS (SELECT 1 FROM c)", {"a", "b", "c"}),
    ("SELECT tag FROM usage, UNNEST(tags) AS tag WITH OFFSET n", {"usage"}),
    ("SELECT CURRENT_DATE(), CURRENT_TIMESTAMP(), @day, GENERATE_UUID()", set()),
    ("SELECT SAFE_DIVIDE(SUM(a), 2), DATE_TRUNC(day, MONTH) FROM costs GROUP BY 2", {"costs"}),
    ("SELECT SAFE.PARSE_DATE('%Y', x) FROM costs", {"costs"}),
    ("SELECT owner.team FROM costs -- read_csv('/etc/passwd')", {"costs"}),
    ("SELECT 'DROP TABLE costs; INFORMATION_SCHEMA'", set()),
]


@pytest.mark.parametrize(("sql", "tables"), ACCEPTED, ids=[sql for sql, _tables in ACCEPTED])
def test_accepted(sql: str, tables: set[str]) -> None:
    assert {table.name for table in check_select(sql, DATASET)} == tables


HOSTILE = [
    ("SELECT 1; SELECT 2", "one statement"),
    ("SELECT 1; DROP TABLE costs", "one statement"),
    ("", "one statement"),
    ("-- nothing", "one statement"),
    ("SELEC 1", "SELECT|syntax"),
    ("DROP TABLE costs", "only SELECT"),
    ("DELETE FROM costs WHERE TRUE", "only SELECT"),
    ("UPDATE costs SET a = 1 WHERE TRUE", "only SELECT"),
    ("INSERT INTO costs (a) VALUES (1)", "only SELECT"),
    ("MERGE INTO costs USING usage ON FALSE WHEN NOT MATCHED THEN INSERT ROW", "only SELECT"),
    ("TRUNCATE TABLE costs", "only SELECT"),
    ("CREATE TABLE x AS SELECT 1", "only SELECT"),
    ("CREATE OR REPLACE VIEW x AS SELECT 1", "only SELECT"),
    ("CREATE TEMP FUNCTION f() AS (1); SELECT f()", "one statement"),
    ("ALTER TABLE costs ADD COLUMN x INT64", "only SELECT"),
    ("EXPORT DATA OPTIONS (uri = 'gs://x/*') AS SELECT 1", "only SELECT"),
    ("GRANT SELECT ON TABLE costs TO 'x'", "only SELECT|syntax"),
    ("CALL other_dev.procedure()", "only SELECT"),
    ("EXECUTE IMMEDIATE 'SELECT 1'", "only SELECT"),
    ("DECLARE x INT64 DEFAULT 1; SELECT x", "one statement"),
    ("BEGIN SELECT 1; END", "statement|SELECT"),
    ("SET x = 1", "only SELECT"),
    ("PRAGMA database_list", "only SELECT"),
    ("ATTACH '/tmp/x.duckdb'", "syntax error"),
    ("COPY costs TO '/tmp/x.csv'", "only SELECT"),
    ("INSTALL httpfs", "only SELECT|syntax"),
    ("EXPLAIN SELECT 1", "only SELECT"),
    ("DESCRIBE costs", "only SELECT"),
    ("SHOW TABLES", "only SELECT"),
    ("WITH x AS (DELETE FROM costs) SELECT 1", "only SELECT"),
    ("SELECT 1 INTO x", "only SELECT"),
    ("SELECT * FROM costs FOR UPDATE", "FOR UPDATE"),
    ("SELECT * FROM other_dev.costs", "not in dataset acme_dev"),
    ("SELECT * FROM organizations.org_api_keys", "not in dataset acme_dev"),
    ("SELECT * FROM `p.acme_dev.costs`", "not in dataset acme_dev"),
    ("SELECT * FROM `other_dev`.costs", "not in dataset acme_dev"),
    ("SELECT (SELECT MAX(k) FROM organizations.org_api_keys) FROM costs", "not in dataset acme_dev"),
    ("WITH costs AS (SELECT 1) SELECT * FROM other_dev.costs", "not in dataset acme_dev"),
    ("SELECT 1 /* x */ UNION ALL SELECT k FROM other_dev.t", "not in dataset acme_dev"),
    ("SELECT * FROM `acme_dev.costs_*`", "wildcard"),
    ("SELECT * FROM INFORMATION_SCHEMA.TABLES", "INFORMATION_SCHEMA"),
    ("SELECT * FROM acme_dev.INFORMATION_SCHEMA.COLUMNS", "INFORMATION_SCHEMA"),
    ("SELECT * FROM `region-us`.INFORMATION_SCHEMA.JOBS", "INFORMATION_SCHEMA"),
    ("SELECT * FROM information_schema.tables", "INFORMATION_SCHEMA"),
    ("SELECT * FROM duckdb_settings()", "table function"),
    ("SELECT * FROM read_csv('/etc/passwd')", "table function"),
    ("SELECT * FROM read_parquet('x')", "table function"),
    ("SELECT * FROM read_text('/proc/self/environ')", "table function"),
    ("SELECT * FROM glob('/etc/*')", "syntax error"),
    ("SELECT * FROM query('SELECT 1')", "table function"),
    ("SELECT * FROM query_table('costs')", "table function"),
    ("SELECT * FROM pragma_database_list()", "table function"),
    ("SELECT * FROM EXTERNAL_QUERY('c', 'SELECT 1')", "table function"),
    ("SELECT * FROM ML.PREDICT(MODEL other_dev.m, TABLE costs)", "not allowed"),
    ("SELECT * FROM VECTOR_SEARCH(TABLE costs, 'a', TABLE usage)", "not allowed"),
    ("SELECT AI.GENERATE('x')", "not allowed"),
    ("SELECT KEYS.NEW_KEYSET('AEAD_AES_GCM_256')", "not allowed"),
    ("SELECT NET.HOST('http://x')", "not allowed"),
    ("SELECT other_dev.my_function(1)", "not allowed"),
    ("SELECT p.other_dev.my_function(1) FROM costs", "not allowed"),
    ("SELECT SESSION_USER()", "not allowed"),
    ("SELECT CURRENT_DATABASE()", "not allowed"),
    ("SELECT getenv('HOME')", "not known"),
    ("SELECT current_setting('memory_limit')", "not known"),
    ("SELECT getvariable('x')", "not known"),
    ("SELECT nextval('s')", "not known"),
    ("SELECT read_text('/etc/passwd')", "not known"),
    ("SELECT numeric_divide(1, 2)", "not known"),
    ("SELECT @@query_label", "system variables"),
    ("SELECT ?", "positional"),
    ("SELECT * FROM costs |> WHERE TRUE", "pipe syntax"),
    ("FROM costs |> SELECT *", "pipe syntax"),
    ("SELECT * FROM costs FOR SYSTEM_TIME AS OF CURRENT_TIMESTAMP()", "FOR SYSTEM_TIME"),
    ("SELECT * FROM _load_ledger", "internal"),
    ("SELECT * FROM acme_dev._table_metadata", "internal"),
    ("SELECT " + "(" * 3000 + "1" + ")" * 3000, "nested too deeply"),
    ("SELECT '" + "x" * MAX_CHARACTERS + "'", "characters"),
]


@pytest.mark.parametrize(("sql", "reason"), HOSTILE, ids=[sql[:60] for sql, _reason in HOSTILE])
def test_hostile(sql: str, reason: str) -> None:
    with pytest.raises(QueryRejected, match=reason):
        check_select(sql, DATASET)


def test_a_refusal_says_what_to_do() -> None:
    with pytest.raises(QueryRejected) as caught:
        check_select("DROP TABLE costs", DATASET)

    assert caught.value.hint == "Send one read-only SELECT over your own tables, named bare or as dataset.table."
