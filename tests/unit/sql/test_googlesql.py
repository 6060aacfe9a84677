from __future__ import annotations

import pytest
from sqlglot.parser import Parser

from convergence.errors import StatementFailed
from convergence.sql import Statement
from convergence.sql.googlesql import resolve, view_tables
from convergence.sql.translation import Kind, translate
from convergence.tenancy import OrgScope, PlatformScope

ORG = OrgScope("acme")
PROFILES = PlatformScope().table("org_profiles")

NAMED = [
    ("SELECT a FROM usage", "SELECT a FROM `p.acme_dev.usage`"),
    ("select a , 'ü 日本' from  `acme_dev.usage` u", "select a , 'ü 日本' from  `p.acme_dev.usage` u"),
    ("SELECT * FROM acme_dev . usage", "SELECT * FROM `p.acme_dev.usage`"),
    ("WITH x AS (SELECT 1) SELECT * FROM x", "WITH x AS (SELECT 1) SELECT * FROM x"),
    ("SELECT c.n FROM t, UNNEST(credits) AS c", "SELECT c.n FROM `p.acme_dev.t`, UNNEST(credits) AS c"),
    ("SELECT x FROM t, t.list AS x", "SELECT x FROM `p.acme_dev.t`, t.list AS x"),
    ("SELECT 'usage' FROM usage -- usage", "SELECT 'usage' FROM `p.acme_dev.usage` -- usage"),
    ("DELETE FROM usage WHERE TRUE", "DELETE FROM `p.acme_dev.usage` WHERE TRUE"),
    ("INSERT INTO usage (a) VALUES (1)", "INSERT INTO `p.acme_dev.usage` (a) VALUES (1)"),
    ("SELECT FORMAT('%t', a) FROM usage", "SELECT FORMAT('%t', a) FROM `p.acme_dev.usage`"),
]


@pytest.mark.parametrize(("sql", "text"), NAMED, ids=[sql for sql, _text in NAMED])
def test_only_the_names_of_tables_change(sql: str, text: str) -> None:
    assert resolve(Statement(sql, ORG.dataset), "p").text == text


def test_a_mapped_table_keeps_the_name_it_has_in_the_text() -> None:
    statement = Statement("SELECT who.org_slug FROM who", ORG.dataset, tables={"who": PROFILES})

    resolved = resolve(statement, "p")

    assert resolved.text == "SELECT who.org_slug FROM `p.organizations.org_profiles` AS `who`"
    assert resolved.tables == {PROFILES}


def test_a_null_fits_any_type() -> None:
    statement = Statement("UPDATE t SET a = @a, b = '@a' WHERE c = @c", ORG.dataset, {"a": None, "c": 1})

    resolved = resolve(statement, "p")

    assert resolved.text == "UPDATE `p.acme_dev.t` SET a = NULL, b = '@a' WHERE c = @c"
    assert (resolved.kind, resolved.parameters) == (Kind.DML, {"a", "c"})


@pytest.mark.parametrize("name", ["rival_dev.usage", "`rival_dev.usage`", "q.acme_dev.usage", "ACME_DEV.usage"])
def test_another_dataset_is_refused(name: str) -> None:
    with pytest.raises(StatementFailed, match="is not in dataset acme_dev"):
        resolve(Statement(f"SELECT * FROM {name}", ORG.dataset), "p")


def test_what_a_view_reads() -> None:
    query = "WITH x AS (SELECT * FROM `p.d.t`) SELECT * FROM x JOIN `p`.`e`.`u` USING (a)"

    assert view_tables(query) == {"p.d.t", "p.e.u"}


def test_a_statement_is_parsed_once_for_all_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsing is most of what a small statement costs, and a hundred statements run for every organization."""
    sql, parsed = "SELECT n / 3 AS once_for_all FROM usage JOIN who USING (a)", []
    parse = Parser._parse
    monkeypatch.setattr(Parser, "_parse", lambda *given, **named: parsed.append(1) or parse(*given, **named))
    texts = []
    for org in ("acme", "rival", "third"):
        statement = Statement(sql, OrgScope(org).dataset, tables={"who": PROFILES})
        texts += [resolve(statement, "p").text, translate(statement).text]

    assert len(parsed) == 2  # one for each engine
    assert texts[2:4] == [text.replace("acme_dev", "rival_dev") for text in texts[:2]]
    assert "`p.third_dev.usage` JOIN `p.organizations.org_profiles`" in texts[4]
    assert '"third_dev".main' in texts[5]
