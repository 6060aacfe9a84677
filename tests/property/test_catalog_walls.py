from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convergence.catalog import Catalog
from convergence.catalog.tables import TYPES, parse_table_schema
from convergence.catalog.templates import bind_sql, fill
from convergence.catalog.tree import resolve_inside
from convergence.catalog.yamltext import parse_yaml
from convergence.errors import ConfigError, Fault

PIECES = st.sampled_from(
    ["..", ".", "", "a", "sql", "x.sql", "secret.sql", "link", "up", "/", "~", "\\", "\0", "a/..", " "]
)
BMP = st.characters(max_codepoint=0xD7FF)  # JSON writes the rest as two escapes, which YAML reads as two characters
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(BMP, max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(BMP, max_size=8), inner, max_size=4),
    max_leaves=20,
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configs root with links that lead outside, and a file beside it to reach for."""
    base = tmp_path_factory.mktemp("wall")
    inside = base / "configs" / "a" / "sql"
    inside.mkdir(parents=True)
    (inside / "x.sql").write_text("SELECT 1")
    (base / "secret.sql").write_text("secret")
    (base / "configs-evil").mkdir()
    (base / "configs-evil" / "x.sql").write_text("secret")
    (inside / "link").symlink_to(base / "secret.sql")
    (base / "configs" / "a" / "up").symlink_to(base)
    return (base / "configs").resolve()


@given(st.lists(PIECES, max_size=8), st.sampled_from(["", "a", "a/sql", "..", "a/up", "../configs-evil"]))
@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_path_leaves_the_root(root: Path, pieces: list[str], folder: str) -> None:
    try:
        found = resolve_inside(root, root / folder, "/".join(pieces))
    except ConfigError:
        return
    assert found.is_relative_to(root)
    assert found.read_text() == "SELECT 1"


@given(st.text(max_size=40))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_as_a_path_is_inside_or_refused(root: Path, text: str) -> None:
    catalog = Catalog(root)
    try:
        found = catalog.path(root / "a", text)
    except ConfigError:
        return
    assert found.is_relative_to(root)


@given(PLAIN)
@settings(max_examples=300)
def test_json_is_read_as_it_was_written(value: Any) -> None:
    text = json.dumps({"value": value}, indent=2)

    assert parse_yaml(text, "x.yml").value == {"value": value}


@given(st.text(max_size=300))
@settings(max_examples=400)
def test_any_text_is_parsed_or_refused_as_yaml(text: str) -> None:
    faults: tuple[Fault, ...] = ()
    try:
        parse_yaml(text, "x.yml")
    except ConfigError as error:
        faults = error.faults

    assert {fault.path for fault in faults} <= {"x.yml"}


@given(st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-(10**20), max_value=10**20))
def test_an_amount_in_yaml_is_exact(amount: Decimal) -> None:
    text = format(amount, "f")

    assert str(parse_yaml(f"amount: {text}\n", "x.yml").value["amount"]) == str(Decimal(text))


@given(
    st.text(max_size=60),
    st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.text(max_size=10), max_size=3),
)
@settings(max_examples=300)
def test_filling_only_ever_puts_in_given_values(text: str, values: dict[str, str]) -> None:
    braced = text + "".join(f"{{{name}}}" for name in values)
    try:
        found = fill(braced, values)
    except ConfigError:
        return
    assert found.endswith("".join(values.values())) if values else found == fill(text, {})


@given(st.text(alphabet="{}ab.'\"`-#/*\\ \nrR", max_size=60))
@settings(max_examples=400)
def test_sql_never_takes_a_value_as_text(sql: str) -> None:
    values = {"a": "INJECTED", "b": "INJECTED", "a.b": "INJECTED", "b.a": "INJECTED", "ab": "INJECTED"}
    try:
        bound, parameters = bind_sql(sql, values)
    except ConfigError:
        return
    assert "INJECTED" not in bound
    assert set(parameters) <= {"a", "b", "ab", "a__b", "b__a"}


@given(
    st.lists(
        st.tuples(st.from_regex(r"[a-z]{1,12}", fullmatch=True), st.sampled_from(sorted(TYPES - {"STRUCT"}))),
        min_size=1,
        max_size=30,
        unique_by=lambda pair: pair[0],
    )
)
def test_a_schema_keeps_its_columns_in_order(columns: list[tuple[str, str]]) -> None:
    text = json.dumps({"schema": {"fields": [{"name": name, "type": kind} for name, kind in columns]}})

    schema = parse_table_schema(text, "t.json", "t")

    assert [(column.name, column.type) for column in schema.columns] == columns
