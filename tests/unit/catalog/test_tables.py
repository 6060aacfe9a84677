from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from convergence.catalog.schemas import Column, TableSchema
from convergence.catalog.tables import load_table_schema, parse_table_schema
from convergence.errors import ConfigError, Fault

DAY = {"name": "usage_date", "type": "DATE"}


def faults(text: str) -> tuple[Fault, ...]:
    with pytest.raises(ConfigError) as caught:
        parse_table_schema(text, "t.json", "t")
    return caught.value.faults


def resource(*fields: Any, **more: Any) -> str:
    return json.dumps({"schema": {"fields": [DAY, *fields]}, **more})


def test_a_table_resource_becomes_a_schema() -> None:
    text = resource(
        {"name": "model", "type": "STRING", "mode": "REQUIRED", "description": "The model"},
        {"name": "credits", "type": "RECORD", "mode": "REPEATED", "fields": [{"name": "amount", "type": "NUMERIC"}]},
        description="Usage by day",
        timePartitioning={"type": "DAY", "field": "usage_date", "expirationMs": "172800000"},
        clustering={"fields": ["model"]},
    )

    assert parse_table_schema(text, "t.json", "usage") == TableSchema(
        name="usage",
        columns=(
            Column("usage_date", "DATE"),
            Column("model", "STRING", "REQUIRED", "The model"),
            Column("credits", "STRUCT", "REPEATED", fields=(Column("amount", "NUMERIC"),)),
        ),
        description="Usage by day",
        partition_column="usage_date",
        partition_expiration_days=2,
        clustering=("model",),
    )


def test_a_plain_list_of_fields_is_a_schema() -> None:
    assert parse_table_schema('[{"name": "a", "type": "string"}]', "t.json", "t") == TableSchema(
        "t", (Column("a", "STRING"),)
    )


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("INTEGER", "INT64"),
        ("FLOAT", "FLOAT64"),
        ("BOOLEAN", "BOOL"),
        ("DECIMAL", "NUMERIC"),
        ("BIGDECIMAL", "BIGNUMERIC"),
        ("timestamp", "TIMESTAMP"),
        ("JSON", "JSON"),
    ],
)
def test_types_have_one_name(written: str, canonical: str) -> None:
    schema = parse_table_schema(json.dumps([{"name": "a", "type": written}]), "t.json", "t")

    assert schema.columns[0].type == canonical


def test_the_name_is_the_files_stem(tmp_path: Path) -> None:
    path = tmp_path / "usage_daily.json"
    path.write_text('[{"name": "a", "type": "STRING"}]')

    assert load_table_schema(path).name == "usage_daily"


def test_all_faults_are_told_at_once_with_pointer_and_line() -> None:
    text = """{
  "descripton": "x",
  "schema": {"fields": [
    {"name": "a", "typ": "STRING"},
    {"name": "A", "type": "STRNG", "mode": "SOMETIMES"},
    {"name": "1a", "type": "STRING"},
    {"name": "s", "type": "STRUCT"},
    {"name": "x", "type": "STRING", "fields": [{"name": "y", "type": "STRING"}]}
  ]},
  "timePartitioning": {"type": "HOUR", "field": "a", "expirationMs": "5"},
  "clustering": {"fields": ["s"]}
}"""

    assert [(fault.line, fault.key, fault.message) for fault in faults(text)] == [
        (2, "/descripton", "is not known here; did you mean description?"),
        (4, "/schema/fields/0/typ", "is not known here; did you mean type?"),
        (4, "/schema/fields/0/type", "None is not a type"),
        (5, "/schema/fields/1/type", "'STRNG' is not a type; did you mean STRING?"),
        (5, "/schema/fields/1/mode", "'SOMETIMES' is not a mode"),
        (6, "/schema/fields/2/name", "'1a' cannot name a column"),
        (7, "/schema/fields/3/fields", "has no fields"),
        (8, "/schema/fields/4/fields", "STRING has no fields"),
        (5, "/schema/fields/1/name", "'A' is also field 0"),
        (10, "/timePartitioning/type", "'HOUR' is not supported"),
        (10, "/timePartitioning/field", "'a' is not a DATE column of the table"),
        (10, "/timePartitioning/expirationMs", "'5' is not a number of days"),
        (11, "/clustering/fields/0", "'s' is not a column that can be clustered by"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON: Expecting property name enclosed in double quotes"),
        ("[" * 100_000, "is nested too deeply"),
        ("5", "is not a table schema"),
        ("[]", "has no fields"),
        ("[5]", "is not a field"),
        ("{}", "is missing"),
        ('{"schema": {"fields": "a"}}', "has no fields"),
        ('[{"name": "a", "type": "STRING", "type": "DATE"}]', "the key 'type' stands twice in one object"),
        ('[{"name": "a", "type": ["STRING"]}]', "['STRING'] is not a type"),
        ('[{"name": null, "type": "STRING"}]', "None cannot name a column"),
        ('[{"name": "_PARTITIONTIME", "type": "STRING"}]', "'_PARTITIONTIME' is reserved by BigQuery"),
        ('[{"name": "a\\n", "type": "STRING"}]', "'a\\n' cannot name a column"),
        (resource(timePartitioning=5), "is not an object"),
        (resource(clustering={"fields": ["a", "b", "c", "d", "e"]}), "is not a list of columns"),
        (resource(description=5), "5 is not text"),
    ],
)
def test_what_is_not_a_schema_says_why(text: str, message: str) -> None:
    assert faults(text)[0].message == message


def test_structs_end_somewhere() -> None:
    field: dict[str, Any] = {"name": "leaf", "type": "STRING"}
    for depth in range(20):
        field = {"name": f"s{depth}", "type": "STRUCT", "fields": [field]}

    assert [fault.message for fault in faults(json.dumps([field]))] == ["is nested too deeply"]
