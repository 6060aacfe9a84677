"""Sheets as people keep them."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from convergence.costs.identity.mapping import MappingReading, read_csv, read_mapping, read_records
from convergence.errors import InvalidRequest

PROVIDERS = ("openai", "anthropic", "deepseek", "cursor", "gcp")
HEADER = ["provider", "api_key_id", "key name", "Masked Key", "E-Mail", "Team", "valid_from", "valid_to", "note"]


def _read(*lines: list[Any], header: list[Any] = HEADER) -> MappingReading:
    return read_mapping([header, *lines], source="csv", providers=PROVIDERS)


def _line(**cells: Any) -> list[Any]:
    names = dict(zip(("provider", "key", "name", "mask", "email", "team", "start", "end", "note"), HEADER, strict=True))
    assert set(cells) <= set(names)
    return [cells.get(name, "") for name in names]


def _reasons(reading: MappingReading) -> list[tuple[int, str | None]]:
    return [(fault.line, fault.column) for fault in reading.faults]


def test_ragged_rows_and_blank_rows_as_the_values_api_sends_them() -> None:
    values = [
        ["provider", "api_key_id", "api_key_name", "email", "valid_from"],
        ["openai", "key_abc", "My API Key", "user@example.com", "2026-01-01"],
        ["anthropic", "apikey_01Rj2N8SVvo6BePZj99NhmiT", "Developer Key", "user@emaildomain.com"],
        ["deepseek", "", "key-a"],
        [],
        ["cursor", "", "", "developer@company.com"],
    ]
    reading = read_mapping(values, source="google_sheets", providers=PROVIDERS)
    assert [(row["provider"], row["person"]) for row in reading.rows] == [
        ("openai", "user@example.com"),
        ("anthropic", "user@emaildomain.com"),
        ("cursor", "developer@company.com"),
    ]
    assert reading.rows[0]["valid_from"] == date(2026, 1, 1)
    assert [(fault.line, fault.reason.split(":")[0]) for fault in reading.faults] == [(4, "maps to nobody")]


def test_columns_are_found_by_their_names_in_any_order_and_spelling() -> None:
    reading = _read(
        ["Search", " User@Example.COM ", "4711", "ignored", "OpenAI"],
        header=["TEAM ", "Person e-mail", "Cost-Centre", "favourite colour", "Provider"],
    )
    (row,) = reading.rows
    assert (row["provider"], row["person"], row["team"], row["cost_center"]) == (
        "openai",
        "user@example.com",
        "Search",
        "4711",
    )


def test_strings_stay_strings() -> None:
    reading = _read(
        _line(provider="openai", key="00123", team="1e5"),
        _line(provider="openai", key="5e10", team="inf"),
        _line(provider="openai", key="1,000", team="nan"),
    )
    assert [(row["api_key_id"], row["team"]) for row in reading.rows] == [
        ("00123", "1e5"),
        ("5e10", "inf"),
        ("1,000", "nan"),
    ]


def test_a_number_in_place_of_an_id_is_kept_only_if_it_is_whole() -> None:
    reading = _read(_line(provider="openai", key=123, team="A"), _line(provider="openai", key=1.5, team="A"))
    assert [row["api_key_id"] for row in reading.rows] == ["123"]
    assert _reasons(reading) == [(3, "api_key_id")]


def test_days_are_iso_text_or_the_serial_numbers_of_spreadsheets() -> None:
    reading = _read(
        _line(email="a@example.com", team="A", start=46023, end="2026-02-01"),
        _line(email="b@example.com", team="A", start="3/1/2026"),
    )
    assert (reading.rows[0]["valid_from"], reading.rows[0]["valid_to"]) == (date(2026, 1, 1), date(2026, 2, 1))
    assert _reasons(reading) == [(3, "valid_from")]


def test_compatible_characters_and_spaces_are_made_one() -> None:
    (row,) = _read(
        _line(
            provider="\uff4f\uff50\uff45\uff4e\uff41\uff49",
            key=" key_\uff11\uff12 ",
            email="\uff21\uff24\uff21@example.com ",
            team="\uff33earch",
        )
    ).rows
    assert (row["api_key_id"], row["person"], row["team"]) == ("key_12", "ada@example.com", "Search")


def test_an_unknown_provider_is_told_to_the_organization() -> None:
    reading = _read(_line(provider="opnai", key="key_1", team="A"), _line(provider="openai", key="key_2", team="A"))
    assert [row["api_key_id"] for row in reading.rows] == ["key_2"]
    assert reading.faults[0].reason == "'opnai' is no provider; did you mean openai?"
    assert reading.faults[0].raw == {"provider": "opnai", "api_key_id": "key_1", "team": "A"}


@pytest.mark.parametrize(
    ("first", "second", "is_conflict"),
    [
        ({}, {}, True),
        ({"end": "2026-02-01"}, {"start": "2026-02-01"}, False),
        ({"end": "2026-02-02"}, {"start": "2026-02-01"}, True),
        ({"start": "2026-03-01"}, {"end": "2026-03-01"}, False),
        ({"start": "2026-03-01"}, {"start": "2026-04-01"}, True),
    ],
)
def test_two_lines_of_one_key_are_a_conflict_unless_their_dates_are_disjoint(
    first: dict[str, str], second: dict[str, str], *, is_conflict: bool
) -> None:
    reading = _read(
        _line(provider="openai", key="key_1", team="A", **first),
        _line(provider="openai", key="key_1", team="B", **second),
    )
    assert [row["team"] for row in reading.rows] == (["A"] if is_conflict else ["A", "B"])
    assert _reasons(reading) == ([(3, None)] if is_conflict else [])


def test_a_repeated_line_counts_once() -> None:
    line = _line(email="ada@example.com", team="A")
    reading = _read(line, line)
    assert (len(reading.rows), reading.faults[0].reason) == (1, "repeats line 2")


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-" + "a1B2" * 12,
        "sk-" + "0123456789abcdef" * 2,
        "sk-ant-api03-" + "Zz9-" * 20,
        "sk-ant-admin01-" + "Zz9_" * 20,
        "crsr_" + "0123456789abcdef" * 3,
        "key_" + "0123456789abcdef" * 4,
        "AIza" + "Sy0123456789abcdefghijklmnopqrstu",
        "-----BEGIN PRIVATE KEY-----MIIEvQIBADANBg",
    ],
)
@pytest.mark.parametrize("column", ["key", "note", "beyond"])
def test_a_pasted_secret_is_refused_and_masked(secret: str, column: str) -> None:
    cells = {"provider": "openai", "key": "key_1", "team": "A"}
    line = [*_line(**cells), secret] if column == "beyond" else _line(**{**cells, column: f" {secret} "})
    reading = _read(line, _line(email="a@example.com", team="A"))
    assert [row["person"] for row in reading.rows] == ["a@example.com"]
    assert "revoke it" in reading.faults[0].reason
    told = json.dumps([fault.raw | {"reason": fault.reason} for fault in reading.faults])
    assert secret.strip("-")[12:] not in told


@pytest.mark.parametrize(
    "mask", ["sk-proj-****…wxyz", "sk-ant-api03-R2D...igAA", "sk-••••••••wxyz", "key_abcdefghijklmnop"]
)
def test_masks_and_ids_are_no_secrets(mask: str) -> None:
    reading = _read(_line(provider="openai", mask=mask, team="A"))
    assert reading.faults == []


def test_what_is_hidden_of_a_key_is_hidden_behind_one_star() -> None:
    (row,) = _read(_line(provider="anthropic", mask="sk-ant-api03-R2D...igAA", team="A")).rows
    assert row["masked_key"] == "sk-ant-api03-R2D*igAA"


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        ({"key": "key_1", "team": "A"}, "provider"),
        ({"provider": "openai", "key": "key_1"}, None),
        ({"provider": "openai", "team": "A"}, None),
        ({"email": "ada@example.com"}, None),
        ({"email": "Ada Lovelace", "team": "A"}, "person"),
        ({"email": "a@example.com", "team": "A" * 201}, "team"),
        ({"email": "a@example.com", "team": "#REF!"}, "team"),
        ({"email": "a@example.com", "team": "A", "start": "2026-02-01", "end": "2026-02-01"}, "valid_to"),
    ],
)
def test_a_line_that_maps_nothing_is_told(cells: dict[str, str], column: str | None) -> None:
    assert _reasons(_read(_line(**cells))) == [(2, column)]


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        ([], "identity_mapping_empty"),
        ([[], [""], [None]], "identity_mapping_empty"),
        ([["provider", "team"]], "identity_mapping_broken"),
        ([["person", "email", "team"]], "identity_mapping_broken"),
        ([["#REF!"], ["a@example.com", "A"]], "identity_mapping_broken"),
    ],
)
def test_an_empty_or_broken_sheet_is_no_mapping(cells: list[list[Any]], code: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_mapping(cells, source="google_sheets", providers=PROVIDERS)
    assert refused.value.code == code


def test_a_sheet_of_which_most_lines_are_wrong_is_broken() -> None:
    good, bad = _line(email="a@example.com", team="A"), _line(provider="nobody", key="k", team="A")
    _read(good, bad).check()
    with pytest.raises(InvalidRequest, match="2 of 3 lines are wrong") as broken:
        _read(good, bad, bad).check()
    with pytest.raises(InvalidRequest) as empty:
        _read().check()
    assert (broken.value.code, empty.value.code) == ("identity_mapping_broken", "identity_mapping_empty")


@pytest.mark.parametrize(
    "content",
    [
        b"email,team\nada@example.com,Search\n",
        b"\xef\xbb\xbfemail;team\r\nada@example.com;Search\r\n",
        b'email\tteam\n"ada@example.com"\t"Search"\n',
    ],
)
def test_csv_files_as_spreadsheets_write_them(content: bytes) -> None:
    (row,) = read_mapping(read_csv(content), source="csv", providers=PROVIDERS).rows
    assert (row["person"], row["team"]) == ("ada@example.com", "Search")


def test_what_is_no_csv_is_refused() -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_csv(b"\xff\xfe\x00a")
    assert refused.value.code == "identity_mapping_broken"


def test_records_are_lines_too() -> None:
    cells = read_records([{"email": "ada@example.com", "team": "A"}, {"cost_center": "7", "email": "bob@example.com"}])
    reading = read_mapping(cells, source="api", providers=PROVIDERS)
    assert [(row["person"], row["team"], row.get("cost_center")) for row in reading.rows] == [
        ("ada@example.com", "A", None),
        ("bob@example.com", "", "7"),
    ]


def test_the_example_of_the_howto_leaves_out_the_lines_that_it_says() -> None:
    page = (Path(__file__).parents[3] / "docs" / "howto" / "attribute-costs.md").read_text()
    text = page.split("```csv\n")[1].split("```")[0]
    reading = read_mapping(read_csv(text.encode()), source="csv", providers=PROVIDERS)
    assert (len(reading.rows), _reasons(reading)) == (4, [(4, None), (7, None)])
