from __future__ import annotations

from datetime import date

import pytest

from convergence.catalog.templates import bind_sql, build_names, build_values, fill, find_names
from convergence.errors import ConfigError

VALUES = build_values(
    {"org_slug": "acme", "start_date": date(2026, 1, 1), "end_date": date(2026, 1, 31)},
    {"region": "eu", "n": 5},
)


def test_templates_are_filled_in_lists_and_mappings() -> None:
    value = {"a": "org {org_slug}", "b": ["{parameters.region}-{start_date}", {"c": "{end_date}!"}], "d": 7}

    assert fill(value, VALUES) == {"a": "org acme", "b": ["eu-2026-01-01", {"c": "2026-01-31!"}], "d": 7}


def test_one_template_alone_keeps_the_type_of_its_value() -> None:
    assert fill(["{parameters.n}", "{start_date}"], VALUES) == [5, date(2026, 1, 1)]


def test_keys_are_not_filled() -> None:
    assert fill({"{org_slug}": 1}, VALUES) == {"{org_slug}": 1}


def test_a_filled_value_is_not_filled_again() -> None:
    assert fill("x {a}", {"a": "{b}", "b": "secret"}) == "x {b}"


def test_double_braces_are_braces() -> None:
    assert fill("{{org_slug}} {org_slug}", VALUES) == "{org_slug} acme"


@pytest.mark.parametrize(
    "text",
    ["{0}", "{}", "{org_slug!r}", "{org_slug:>99999999}", "{org_slug[0]}", "{ org_slug }", "{", "}", "%s"],
)
def test_format_strings_mean_nothing(text: str) -> None:
    assert fill(text, {"org_slug": "acme"}) == text


@pytest.mark.parametrize("name", ["org_slug.__class__", "org_slug.__init__.__globals__", "parameters", "__class__"])
def test_attributes_cannot_be_reached(name: str) -> None:
    with pytest.raises(ConfigError, match="is not a template"):
        fill(f"{{{name}}}", VALUES)


def test_every_unknown_name_is_told_with_a_near_one() -> None:
    with pytest.raises(ConfigError) as caught:
        fill(["{org_slgu}", "{org_slgu} {parameters.regin}"], VALUES)

    assert [fault.message for fault in caught.value.faults] == [
        "{org_slgu} is not a template; did you mean org_slug?",
        "{parameters.regin} is not a template; did you mean parameters.region?",
    ]


def test_sql_is_never_filled_with_text() -> None:
    config = {"sql": "SELECT {org_slug}", "count_query": "SELECT {org_slug}", "title": "{org_slug}"}

    assert fill(config, VALUES) == {**config, "title": "acme"}


def test_braces_in_the_quotes_of_sql_need_no_name() -> None:
    config = {"sql": "SELECT REGEXP_CONTAINS(model, r'^{gpt}')"}

    assert fill(config, VALUES) == config


def test_templates_in_sql_become_parameters() -> None:
    sql, parameters = bind_sql("SELECT {org_slug} WHERE d >= {start_date} AND r = {parameters.region}", VALUES)

    assert sql == "SELECT @org_slug WHERE d >= @start_date AND r = @parameters__region"
    assert parameters == {"org_slug": "acme", "start_date": date(2026, 1, 1), "parameters__region": "eu"}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT '{org_slug}'",
        'SELECT "{org_slug}"',
        "SELECT `{org_slug}`",
        "SELECT 1 -- {org_slug}",
        "SELECT 1 # {org_slug}",
        "SELECT 1 /* {org_slug} */",
        "SELECT '''it's {org_slug}'''",
        "SELECT 'it\\'s {org_slug}'",
        'SELECT r"\\d{org_slug}"',
    ],
)
def test_quotes_and_comments_in_sql_stay_as_they_are(sql: str) -> None:
    assert bind_sql(sql, VALUES) == (sql, {})


def test_an_unknown_name_in_sql_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean start_date"):
        bind_sql("SELECT {start_dat}", VALUES)


def test_names_are_found_once_per_use() -> None:
    assert list(find_names({"a": ["{x} {y.z}"], "b": "{{no}} {x}"})) == ["x", "y.z", "x"]


def test_parameters_are_named_with_their_prefix() -> None:
    assert build_names({"region": 1})[-1] == "parameters.region"
