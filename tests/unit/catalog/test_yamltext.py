from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from convergence.catalog.yamltext import MAX_BYTES, MAX_DEPTH, load_yaml, parse_yaml
from convergence.errors import ConfigError, Fault


def faults(text: str) -> tuple[Fault, ...]:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "x.yml")
    return caught.value.faults


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("Yes", "Yes"),
        ("12:30:45", "12:30:45"),
        ("010", "010"),
        ("1_000", "1_000"),
        ("1e3", "1e3"),
        ("0x1F", "0x1F"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("2026-01-31", "2026-01-31"),
        ("'5'", "5"),
        ('"true"', "true"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("0", 0),
        ("-17", -17),
        ("9" * 38, int("9" * 38)),
        ("9" * 39, "9" * 39),
        ("1.10", Decimal("1.10")),
        ("-0.000000001", Decimal("-0.000000001")),
    ],
)
def test_a_scalar_is_what_it_reads_as(text: str, value: object) -> None:
    found = parse_yaml(f"key: {text}\n", "x.yml").value["key"]

    assert (type(found), str(found)) == (type(value), str(value))


def test_a_key_is_always_text() -> None:
    assert parse_yaml("on: 1\n1: 2\ntrue: 3\nnull: 4\n", "x.yml").value == {"on": 1, "1": 2, "true": 3, "null": 4}


def test_a_block_is_text_as_it_stands() -> None:
    assert parse_yaml("sql: |\n  true\n", "x.yml").value == {"sql": "true\n"}


def test_every_key_and_item_has_its_line() -> None:
    document = parse_yaml("a: 1\nsteps:\n  - b: 2\n\n    c:\n      - x\n      - y\n", "x.yml")

    assert document.lines == {
        (): 1,
        ("a",): 1,
        ("steps",): 2,
        ("steps", 0): 3,
        ("steps", 0, "b"): 3,
        ("steps", 0, "c"): 5,
        ("steps", 0, "c", 0): 6,
        ("steps", 0, "c", 1): 7,
    }


def test_a_missing_key_has_the_line_of_what_is_around_it() -> None:
    document = parse_yaml("a: 1\nsteps:\n  - b: 2\n", "x.yml")

    assert document.line(("steps", 0, "ps_type", "x")) == 3


def test_an_empty_file_is_nothing() -> None:
    assert parse_yaml("# only a comment\n", "x.yml").value is None


def test_duplicate_keys_name_both_lines_and_all_are_told() -> None:
    found = faults("a: 1\nb: {c: 1, c: 2}\na: 2\na: 3\n")

    assert [(fault.line, fault.key, fault.message) for fault in found] == [
        (2, "b.c", "stands here and on line 2"),
        (3, "a", "stands here and on line 1"),
        (4, "a", "stands here and on line 1"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x 1\n", "&x is an anchor"),
        ("a: *x\n", "*x is an alias"),
        ("a: &x [*x]\n", "&x is an anchor"),
        ("a: !!python/name:os.system x\n", "tag:yaml.org,2002:python/name:os.system is a tag"),
        ("a: !!str 1\n", "tag:yaml.org,2002:str is a tag"),
        ("a: !vault x\n", "!vault is a tag"),
        ("<<: {a: 1}\n", "<< merges another mapping"),
        ("a: 1\n---\nb: 2\n", "has a second document"),
        ("? [a]\n: 1\n", "has a key that is not text"),
        ("a: [1\n", "is not YAML: did not find expected ',' or ']'"),
        ("a: \0\n", "is not YAML: control characters are not allowed"),
        ("[" * 20_000, "is nested too deeply"),
        ("a: [" + "1," * 30_000 + "]", "has too many nodes"),
        ("#" * (MAX_BYTES + 1), "is too large"),
    ],
)
def test_what_is_not_needed_is_refused(text: str, message: str) -> None:
    assert faults(text)[0].message == message


def test_billion_laughs_stays_small() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 30))

    assert {fault.expected for fault in faults(bomb)} == {"no anchors and aliases", "the value itself, written out"}


def test_depth_up_to_the_limit_is_read() -> None:
    text = "[" * MAX_DEPTH + "]" * MAX_DEPTH

    assert str(parse_yaml(text, "x.yml").value) == text


def test_a_syntax_fault_has_its_line() -> None:
    assert faults("a: 1\nb: 2\n c: 3\n")[0].line == 3


def test_a_file_that_is_not_utf8_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    path.write_bytes(b"a: 1\nb: \xff\n")

    with pytest.raises(ConfigError) as caught:
        load_yaml(path)

    assert str(caught.value) == f"{path}:2: is not UTF-8 (expected UTF-8 text)"


def test_a_byte_order_mark_is_not_content(tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")

    assert load_yaml(path).value == {"a": 1}


def test_a_file_that_is_gone_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_yaml(tmp_path / "x.yml")
